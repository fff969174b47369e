"""CIFAR's python batches, which are pickles, read without running anything a pickle may ask for.

A pickle names functions to call. Here every name resolves to one of two stand-ins that merely keep what they
are given, and only the names with which numpy stores an array resolve at all; numpy never sees the file.
"""

import io
import pickle
import pickletools
from typing import Any

import numpy as np

from tithe.errors import UsageError

_MEND = "give the official file"


class _Dtype:
    """Stands for numpy.dtype, and for no more than its code, such as u1."""

    __slots__ = ("code",)

    def __init__(self, code: object = None, *_: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        pass


class _Array:
    """Stands for numpy.ndarray and the function that makes an empty one; keeps the state that is set next."""

    __slots__ = ("state",)

    def __init__(self, *_: object) -> None:
        self.state: Any = None

    def __setstate__(self, state: object) -> None:
        self.state = state  # (version, shape, dtype, is Fortran order, bytes)


_ALLOWED = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,  # since numpy 2
}


# What it takes to write a dict of lists, numbers, strings and arrays in protocols 0 to 4. Anything else is refused
# unseen: the unpickler is C code, and less well tested on the rest.
_OPCODES = {
    *("PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST", "APPEND", "APPENDS"),
    *("EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"),
    *("PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET", "MEMOIZE"),
    *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
}
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}


def _check_opcodes(data: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name not in _OPCODES:
            raise ValueError(f"the opcode {opcode.name} has no place in it")
        # A memo slot costs memory up to its number, of which a true pickle has fewer than bytes.
        if opcode.name in _PUTS and not 0 <= int(argument or 0) < len(data):
            raise ValueError(f"there is no memo slot {argument}")


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, where: str) -> None:
        # Python 2 wrote these files: its strings arrive as bytes.
        super().__init__(io.BytesIO(data), encoding="bytes")
        self._where = where

    def find_class(self, module_name: str, global_name: str, /) -> type:
        stand_in = _ALLOWED.get((module_name, global_name))
        if stand_in is None:
            raise UsageError(
                f"{self._where} is a pickle that asks for {module_name}.{global_name}, which is not loaded: "
                f"only numpy arrays are; {_MEND}"
            )
        return stand_in


def read_batch(data: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    """The images, uint8 [n, 3072], and the labels, int64 [n], of one batch; `where` begins every error.

    Raises:
        UsageError: not a pickle, cut short, without data and labels, or asking for anything but numpy arrays.
    """
    try:
        _check_opcodes(data)
        batch = _Unpickler(data, where).load()
        entries = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        images, labels = _rebuild(entries["data"]), np.array(entries["labels"])
    except UsageError:
        raise
    except Exception as error:  # a damaged pickle can raise nearly anything, all of it meaning this
        why = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"{where} is cut short, damaged or not a CIFAR batch ({why}); {_MEND}") from error
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise UsageError(f"{where} has labels that are not a list of integers; {_MEND}")
    return images, labels.astype(np.int64)


def _rebuild(array: Any) -> np.ndarray:
    _, shape, dtype, fortran_order, data = array.state
    if dtype.code not in ("u1", b"u1"):
        raise ValueError(f"data of type {dtype.code!r} where u1 is allowed")
    return np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran_order else "C")
