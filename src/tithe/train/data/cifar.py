"""CIFAR-10 as its author publishes it: binary or python batches, unpacked or still in their archive.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009, and the section "Dataset
layout" of https://www.cs.toronto.edu/~kriz/cifar.html.
"""

import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from tithe.errors import UsageError
from tithe.train.data.cifar_pickle import read_batch
from tithe.train.data.dataset import Dataset, check_labels, make
from tithe.train.data.download import Progress
from tithe.train.data.official import obtain, search_folders, size_of, verify
from tithe.train.data.sources import CIFAR10, CIFAR10_BINARY, CIFAR10_PYTHON, OfficialFile

RECORDS = 10_000  # images in each of the six files
_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32
_NAMES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
_MEND = "copy or download it again"

Batch = tuple[np.ndarray, np.ndarray]  # images [n, 3072] uint8, labels [n]


@dataclass(frozen=True)
class Form:
    """One of the two published forms of the data set."""

    archive: OfficialFile
    folder: str  # the name inside the archive, and of the unpacked folder
    suffix: str  # of the batches' names
    parse: Callable[[bytes, str], Batch]

    @property
    def batches(self) -> tuple[str, ...]:
        """The names of the six files in order, the test set last."""
        return tuple(name + self.suffix for name in _NAMES)


def parse_binary(data: bytes, where: str) -> Batch:
    """Records of one label byte and 3072 pixel bytes, red first, row by row.

    Raises:
        UsageError: the length is not that of `RECORDS` records.
    """
    wanted = RECORDS * (1 + _PIXELS)
    if len(data) != wanted:
        raise UsageError(f"{where} has {len(data)} bytes where a CIFAR-10 batch has {wanted}; {_MEND}")
    records = np.frombuffer(data, np.uint8).reshape(RECORDS, 1 + _PIXELS)
    return records[:, 1:], records[:, 0]


BINARY = Form(CIFAR10_BINARY, "cifar-10-batches-bin", ".bin", parse_binary)
PYTHON = Form(CIFAR10_PYTHON, "cifar-10-batches-py", "", read_batch)
FORMS = (BINARY, PYTHON)


def load_cifar10(data_dir: Path, download: bool, progress: Progress | None) -> Dataset:
    """CIFAR-10 from `data_dir/cifar10` or `data_dir`, whichever form is there: uint8 [n, 3, 32, 32].

    Raises:
        UsageError: nothing there and nothing to be had, or files damaged, missing or of the wrong shape.
    """
    folders = search_folders(CIFAR10, data_dir)
    found = next((place for folder in folders for place in _places(folder) if place[1].exists()), None)
    if found is None:
        obtain(CIFAR10, CIFAR10.files, folders[0], download, progress)
        found = BINARY, folders[0] / CIFAR10_BINARY.name
    form, path = found
    batches = unpacked_batches(path, form) if path.is_dir() else _verified_batches(path, form)
    images, labels = _join(path, form, batches)
    tests = RECORDS
    return make(
        CIFAR10.name,
        str(path),
        (images[:-tests], labels[:-tests]),
        (images[-tests:], labels[-tests:]),
        len(CIFAR10.class_names),
        CIFAR10.class_names,
    )


def unpacked_batches(folder: Path, form: Form) -> Iterator[tuple[str, bytes]]:
    """Name and content of the six files in `folder`, one at a time."""
    for name in form.batches:
        size_of(folder / name)
        yield name, (folder / name).read_bytes()


def archive_batches(path: Path, form: Form) -> Iterator[tuple[str, bytes]]:
    """Name and content of the six files in an archive, in its order; nothing is written to disk.

    Raises:
        UsageError: the archive is empty, cut short or damaged.
    """
    size_of(path)
    try:
        with tarfile.open(path, "r|gz") as archive:  # a stream: unpacked once, front to back
            for member in archive:
                place = PurePosixPath(member.name)
                wanted = place.name in form.batches and place.parent.name == form.folder and member.isfile()
                # Twice a batch's pixels is ample, and bounds the memory a forged archive can take.
                if wanted and member.size <= 2 * RECORDS * (1 + _PIXELS):
                    content = archive.extractfile(member)
                    yield place.name, content.read() if content else b""
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise UsageError(f"{path} is cut short or damaged ({error}); {_MEND}") from error


def _places(folder: Path) -> Iterator[tuple[Form, Path]]:
    """Where a form may be: its unpacked folder, its archive, or the batches right in `folder`."""
    for form in FORMS:
        yield form, folder / form.folder
        yield form, folder / form.archive.name
    for form in FORMS:
        if (folder / form.batches[0]).is_file():
            yield form, folder


def _verified_batches(path: Path, form: Form) -> Iterator[tuple[str, bytes]]:
    verify(path, form.archive)
    return archive_batches(path, form)


def _join(path: Path, form: Form, batches: Iterator[tuple[str, bytes]]) -> tuple[np.ndarray, np.ndarray]:
    """All images, uint8 [6 * RECORDS, 3, 32, 32], and labels; each batch goes straight to its place."""
    images = np.empty((len(_NAMES), RECORDS, _PIXELS), np.uint8)
    labels = np.empty((len(_NAMES), RECORDS), np.int64)
    absent = list(form.batches)
    for name, content in batches:
        where, slot = str(path / name), form.batches.index(name)
        pixels, targets = form.parse(content, where)
        if pixels.shape != images[slot].shape or targets.shape != labels[slot].shape:
            raise UsageError(
                f"{where} holds images of shape {list(pixels.shape)} and {len(targets)} labels where "
                f"{[RECORDS, _PIXELS]} and {RECORDS} are allowed; give the official file"
            )
        check_labels(where, targets, len(CIFAR10.class_names))
        images[slot], labels[slot] = pixels, targets
        absent = [other for other in absent if other != name]
    if absent:
        raise UsageError(f"{path} has no {', '.join(absent)}; {_MEND}")
    return images.reshape(-1, *_SHAPE), labels.reshape(-1)
