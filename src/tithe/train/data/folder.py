"""A user's own pictures: a folder of class folders of images."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tithe.errors import UsageError
from tithe.train.data.dataset import Dataset, Split, make
from tithe.train.data.split import stratified_split

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}
_GRAY = {"1", "L", "LA"}
_DEEP = ("I", "F")  # the first letter of Pillow's modes of more than 8 bits a channel


@dataclass(frozen=True)
class _Item:
    path: Path
    label: int


@dataclass(frozen=True)
class _Format:
    """What every image has in common."""

    mode: str  # L or RGB
    width: int  # pixels
    height: int  # pixels


def load_folder(path: Path) -> Dataset:
    """Reads PATH/train/<class>/* and PATH/test/<class>/*, or PATH/<class>/* with a fixed split of each class.

    The split is 80 % for training and 20 % for testing, the same for the same file names. Classes are numbered in
    the order of their folders' names. Images are 8-bit and of one size: uint8 [n, 1, H, W] if all are gray, else
    [n, 3, H, W]; transparency is dropped. Names that begin with a dot and files that are not images by their
    suffix are passed over.

    Raises:
        UsageError: folders missing or empty, an image that cannot be read or differs in size.
    """
    if not path.is_dir():
        raise UsageError(f"{path} is not a folder; give folder:PATH with one folder of images a class in it")
    halves = [path / half for half in ("train", "test") if (path / half).is_dir()]
    if len(halves) == 1:
        raise UsageError(f"{path} has {halves[0].name}/ alone; give it train/ and test/, or class folders alone")
    names = _class_names(halves[0] if halves else path)
    if halves:
        train, test = _items(halves[0], names), _items(halves[1], names)
    else:
        train, test = _split(path, names)
    form = _common_format([*train, *test])
    return make(
        f"folder:{path.resolve().name}",
        str(path),
        _read(train, form),
        _read(test, form),
        len(names),
        tuple(names),
    )


def _class_names(folder: Path) -> list[str]:
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(names) < 2:
        raise UsageError(f"{folder} has {len(names)} class folders; at least two are needed, with images in each")
    return names


def _items(folder: Path, names: Sequence[str]) -> list[_Item]:
    """Every image of every class, sorted by class and name."""
    strange = sorted(set(_class_names(folder)) - set(names))
    if strange:
        raise UsageError(f"{folder / strange[0]} is a class that the training set lacks; add it there, or remove it")
    items = []
    for label, name in enumerate(names):
        # By name: the order of paths differs between systems.
        found = sorted((p for p in (folder / name).glob("*") if _is_image(p)), key=lambda p: p.name)
        if not found:
            raise UsageError(
                f"{folder / name} has no images ({', '.join(sorted(_SUFFIXES))}); put some there, or remove the class"
            )
        items += [_Item(p, label) for p in found]
    return items


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and path.is_file()


def _split(folder: Path, names: Sequence[str]) -> tuple[list[_Item], list[_Item]]:
    items = _items(folder, names)
    labels = np.array([item.label for item in items])
    lonely = [name for name, count in zip(names, np.bincount(labels), strict=True) if count < 2]
    if lonely:
        raise UsageError(f"{folder / lonely[0]} has one image, and training and testing need one each; add another")
    train, test = stratified_split(labels)
    return [items[i] for i in train], [items[i] for i in test]


def _common_format(items: Sequence[_Item]) -> _Format:
    """Looks at the headers alone, so that a wrong size is found before memory is taken."""
    first_size, gray = None, True
    for item in items:
        with _open(item.path) as image:
            size, mode = image.size, image.mode
        if mode.startswith(_DEEP):
            raise UsageError(f"{item.path} has more than 8 bits a channel (mode {mode}); save it with 8 bits")
        first_size = first_size or size
        if size != first_size:
            raise UsageError(
                f"{item.path} is {_pixels(size)} pixels but {items[0].path} is {_pixels(first_size)}; "
                "all images must have one size"
            )
        gray = gray and mode in _GRAY
    width, height = first_size or (0, 0)
    return _Format("L" if gray else "RGB", width, height)


def _read(items: Sequence[_Item], form: _Format) -> Split:
    channels = 1 if form.mode == "L" else 3
    images = np.empty((len(items), channels, form.height, form.width), np.uint8)
    for index, item in enumerate(items):
        with _open(item.path) as image:
            try:
                pixels = np.asarray(image.convert(form.mode))
            except (OSError, SyntaxError, ValueError, MemoryError) as error:
                raise _unreadable(item.path, error) from error
        images[index] = pixels.reshape(form.height, form.width, channels).transpose(2, 0, 1)
    return images, np.array([item.label for item in items])


def _open(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(path)
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UsageError:
    return UsageError(f"{path} cannot be read as an image ({error}); mend or remove it")


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
