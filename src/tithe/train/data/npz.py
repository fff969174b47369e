"""A user's own arrays: one `.npz` file with x_train, y_train, x_test and y_test."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from tithe.errors import UsageError
from tithe.train.data.dataset import Dataset, make
from tithe.train.data.official import size_of

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_CHANNELS = (1, 3, 4)


def load_npz(path: Path) -> Dataset:
    """Reads images or tables; other arrays in the file are ignored.

    Inputs are uint8 or float (kept as float32): tables [n, F], gray images [n, H, W], images [n, H, W, C] (C of
    1, 3 or 4), or [n, C, H, W]. Labels are integers 0..classes-1, [n] or [n, 1].

    Raises:
        UsageError: the file cannot be read, lacks an array, or holds one that is not allowed.
    """
    size_of(path)
    x_train, y_train, x_test, y_test = (_read(path, key) for key in _KEYS)
    return make(
        path.name,
        str(path),
        (_inputs(path, "x_train", x_train), _labels(y_train)),
        (_inputs(path, "x_test", x_test), _labels(y_test)),
    )


def _read(path: Path, key: str) -> np.ndarray:
    try:
        with zipfile.ZipFile(path) as archive:
            held = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            if key not in held:
                raise UsageError(
                    f"{path} has the arrays {', '.join(held) or 'none'} and no {key}; {', '.join(_KEYS)} are needed"
                )
            with archive.open(key + ".npy") as stream:
                return np.lib.format.read_array(stream, allow_pickle=False)
    except UsageError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        RuntimeError,
        MemoryError,
    ) as error:
        why = " ".join(str(error).split())
        raise UsageError(
            f"{path} is cut short, damaged or not an .npz file of plain arrays ({key}: {why}); "
            "write it again with numpy.savez"
        ) from error


def _inputs(path: Path, key: str, x: np.ndarray) -> np.ndarray:
    if x.dtype.kind == "f":
        x = _finite(path, key, x)
    elif x.dtype != np.uint8:
        raise UsageError(
            f"{path}: {key} holds {x.dtype} values where uint8 or float is allowed; convert it with astype('float32')"
        )
    return _channels_first(path, key, x)


def _finite(path: Path, key: str, x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # a double too large for float32 becomes infinite, and is refused below
        single = x.astype(np.float32, copy=False)
    finite = np.isfinite(single)
    if not finite.all():
        index = np.unravel_index(int(finite.argmin()), x.shape)
        place = ", ".join(map(str, index))
        raise UsageError(f"{path}: {key}[{place}] is {x[index]} where every value must be finite in float32; mend it")
    return single


def _channels_first(path: Path, key: str, x: np.ndarray) -> np.ndarray:
    if x.ndim == 2:
        return x
    if x.ndim == 3:
        return x[:, None]
    if x.ndim != 4:
        raise UsageError(
            f"{path}: {key} has shape {list(x.shape)} where [n, F], [n, H, W], [n, H, W, C] or [n, C, H, W] "
            "is allowed; reshape it"
        )
    first, last = x.shape[1] in _CHANNELS, x.shape[3] in _CHANNELS
    if first and last:
        raise UsageError(
            f"{path}: {key} has shape {list(x.shape)}, which may be [n, C, H, W] or [n, H, W, C]; "
            "store gray images as [n, H, W], or pad the images to 5 pixels or more"
        )
    return x.transpose(0, 3, 1, 2) if last else x


def _labels(y: np.ndarray) -> np.ndarray:
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
