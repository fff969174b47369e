"""The idx file format of MNIST: a magic number, the sizes, then the values, all big-endian.

Source: "THE IDX FILE FORMAT" at the end of yann.lecun.com/exdb/mnist.
"""

import gzip
import math
import struct
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from tithe.errors import UsageError
from tithe.train.data.official import size_of

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
# Deflate makes at most 1032 bytes of one (zlib.net/zlib_tech.html); a header that announces more is broken,
# and saying so here keeps it from asking for terabytes of memory.
_MAX_INFLATION = 1032
_CHUNK = 1 << 20  # bytes


def read_idx(path: Path) -> np.ndarray:
    """Reads an idx file, plain or packed with gzip (by its name, `.gz`); any shape, in native byte order.

    Raises:
        UsageError: the file is missing, empty, cut short, too long, damaged, or not an idx file.
    """
    packed = path.suffix == ".gz"
    most = size_of(path) * (_MAX_INFLATION if packed else 1)
    try:
        with gzip.open(path) if packed else path.open("rb") as stream:
            dtype, shape = _read_header(path, stream)
            return _read_values(path, stream, dtype, shape, most)
    except (EOFError, zlib.error, OSError) as error:  # a broken gzip stream is one of these three
        raise UsageError(f"{path} is cut short or damaged ({error}); copy or download it again") from error


def _read_header(path: Path, stream: BufferedIOBase) -> tuple[np.dtype, tuple[int, ...]]:
    magic = stream.read(4)
    # Two zero bytes, the type of the values, the number of sizes; each size takes four bytes.
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or magic[3] == 0:
        raise UsageError(
            f"{path} is not an idx file: it begins with the bytes {magic.hex(' ')}, "
            "an idx file with 00 00, a type 08 to 0e and the number of sizes; give the official file"
        )
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise _cut_short(path, 4 + 4 * magic[3], 4 + len(sizes))
    return np.dtype(_TYPES[magic[2]]), struct.unpack(f">{magic[3]}I", sizes)


def _read_values(path: Path, stream: BufferedIOBase, dtype: np.dtype, shape: tuple[int, ...], most: int) -> np.ndarray:
    header = 4 + 4 * len(shape)
    wanted = math.prod(shape) * dtype.itemsize
    if wanted > most:
        raise _cut_short(path, header + wanted, None)
    values = np.empty(wanted, np.uint8)
    view, done = values.data, 0
    while done < wanted and (chunk := stream.read(min(_CHUNK, wanted - done))):
        view[done : done + len(chunk)] = chunk
        done += len(chunk)
    if done < wanted:
        raise _cut_short(path, header + wanted, header + done)
    if stream.read(1):
        raise UsageError(
            f"{path} is longer than the {header + wanted} bytes its header announces; give the official file"
        )
    return values.view(dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _cut_short(path: Path, wanted: int, found: int | None) -> UsageError:
    has = "fewer" if found is None else str(found)
    return UsageError(
        f"{path} is cut short: its header announces {wanted} bytes, it has {has}; copy or download it again"
    )
