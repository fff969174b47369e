"""MNIST and its look-alike Fashion-MNIST: four idx files, official (.gz, checksummed) or unpacked."""

from pathlib import Path

import numpy as np

from tithe.errors import UsageError
from tithe.train.data.dataset import Dataset, Split, check_labels, make
from tithe.train.data.download import Progress
from tithe.train.data.idx import read_idx
from tithe.train.data.official import obtain, search_folders, size_of, verify
from tithe.train.data.sources import FASHION_MNIST, MNIST, OfficialFile, OfficialSet

_SIDE = 28  # pixels
_NAMESAKE = {"mnist": FASHION_MNIST, "fashion-mnist": MNIST}  # the set whose files have the same names


def load_mnist(source: OfficialSet, data_dir: Path, download: bool, progress: Progress | None) -> Dataset:
    """`MNIST` or `FASHION_MNIST` from `data_dir/<name>` or `data_dir`: uint8 [n, 1, 28, 28].

    Raises:
        UsageError: files missing and not to be had, damaged, of the wrong shape, or of the other data set.
    """
    paths = _locate(source, data_dir, download, progress)
    _verify_packed(source, paths)
    train, test = _read_split(*paths[:2]), _read_split(*paths[2:])
    # Unpacked files carry no checksum, and the two sets differ in nothing else that could be seen.
    if tuple(train[1][:10]) == _NAMESAKE[source.name].first_labels:
        raise _mistaken(source, paths[1])
    return make(source.name, str(paths[0].parent), train, test, len(source.class_names), source.class_names)


def _locate(source: OfficialSet, data_dir: Path, download: bool, progress: Progress | None) -> list[Path]:
    folders = search_folders(source, data_dir)
    # All four from one folder: another data set's files may have the same names next door.
    folder = next((f for f in folders if any(_present(f, file) for file in source.files)), folders[0])
    absent = [file for file in source.files if not _present(folder, file)]
    if absent:
        obtain(source, absent, folder, download, progress)
    return [_present(folder, file) or folder / file.name for file in source.files]


def _present(folder: Path, file: OfficialFile) -> Path | None:
    plain = file.name.removesuffix(".gz")
    # The third spelling is the one stored inside the .gz, which some unpackers restore.
    spellings = (file.name, plain, plain.replace("-idx", ".idx"))
    return next((folder / name for name in spellings if (folder / name).is_file()), None)


def _read_split(images_path: Path, labels_path: Path) -> Split:
    images, labels = read_idx(images_path), read_idx(labels_path)
    _check_shape(images_path, images, (len(images), _SIDE, _SIDE))
    _check_shape(labels_path, labels, (len(labels),))
    if len(images) != len(labels):
        raise UsageError(
            f"{images_path} has {len(images)} images but {labels_path} has {len(labels)} labels; "
            "give two files that belong together"
        )
    check_labels(str(labels_path), labels, 10)
    return images[:, None], labels


def _check_shape(path: Path, values: np.ndarray, allowed: tuple[int, ...]) -> None:
    if values.shape != allowed or values.dtype != np.uint8:
        wanted = ["n", *allowed[1:]]
        raise UsageError(
            f"{path} holds {values.dtype} values of shape {list(values.shape)} where uint8 of shape "
            f"[{', '.join(map(str, wanted))}] is allowed; give the official file"
        )


def _verify_packed(source: OfficialSet, paths: list[Path]) -> None:
    for index, (path, file) in enumerate(zip(paths, source.files, strict=True)):
        if path.name == file.name:
            if size_of(path) == _NAMESAKE[source.name].files[index].size:
                raise _mistaken(source, path)
            verify(path, file)


def _mistaken(source: OfficialSet, path: Path) -> UsageError:
    other = _NAMESAKE[source.name].name
    return UsageError(f"{path} belongs to {other}, not {source.name}; train {other}, or give another --data-dir")
