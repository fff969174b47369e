"""Every data set that `tithe train` knows, by the name or path a user gives."""

import difflib
from collections.abc import Callable
from pathlib import Path

from tithe.errors import UsageError
from tithe.train.data.cifar import load_cifar10
from tithe.train.data.dataset import Dataset
from tithe.train.data.digits import load_digits
from tithe.train.data.download import Progress
from tithe.train.data.folder import load_folder
from tithe.train.data.mnist import load_mnist
from tithe.train.data.npz import load_npz
from tithe.train.data.official import default_data_dir
from tithe.train.data.sources import FASHION_MNIST, MNIST

_Loader = Callable[[Path, bool, Progress | None], Dataset]
_NAMED: dict[str, _Loader] = {
    "digits": lambda data_dir, download, progress: load_digits(),
    "mnist": lambda *where: load_mnist(MNIST, *where),
    "fashion-mnist": lambda *where: load_mnist(FASHION_MNIST, *where),
    "cifar10": load_cifar10,
}
_FOLDER = "folder:"


def names() -> tuple[str, ...]:
    """What `load` accepts, for help texts and errors."""
    return (*_NAMED, "PATH.npz", "folder:PATH")


def load(spec: str, data_dir: Path | None = None, download: bool = False, progress: Progress | None = None) -> Dataset:
    """Loads a data set and checks it.

    `spec` is one of `names()`. Official files are looked for in `data_dir/<name>`, then in `data_dir` (by
    default `default_data_dir()`); with `download` missing ones are fetched, calling `progress(file name, bytes
    done, bytes in all)` on the way. The other kinds of data need neither.

    Raises:
        UsageError: unknown name, files missing, damaged or not as they should be.

    >>> digits = load("digits")
    >>> digits.x_train.shape, digits.x_test.shape, digits.classes
    (torch.Size([1438, 1, 8, 8]), torch.Size([359, 1, 8, 8]), 10)
    """
    if loader := _NAMED.get(spec):
        return loader(Path(data_dir).expanduser() if data_dir else default_data_dir(), download, progress)
    if spec.startswith(_FOLDER):
        return load_folder(Path(spec.removeprefix(_FOLDER)).expanduser())
    if spec.endswith(".npz"):
        return load_npz(Path(spec).expanduser())
    raise UsageError(f"{spec!r} is not a data set: {_advice(spec)}allowed are {', '.join(names())}")


def _advice(spec: str) -> str:
    if spec and Path(spec).is_dir():
        return f"for a folder of images write folder:{spec}; "
    close = difflib.get_close_matches(spec.lower(), [*_NAMED, "cifar-10", "fashionmnist"], n=2)
    official = [{"cifar-10": "cifar10", "fashionmnist": "fashion-mnist"}.get(name, name) for name in close]
    return f"did you mean {' or '.join(dict.fromkeys(official))}? " if close else ""
