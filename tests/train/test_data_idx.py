"""The idx format: what is written is read, and every damaged file is refused with a sentence."""

import gzip
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tithe.errors import UsageError
from tithe.train.data.idx import read_idx

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(values: np.ndarray) -> bytes:
    """The format written down once more, by the page that defines it."""
    code = CODES[f"{values.dtype.kind}{values.dtype.itemsize}"]
    sizes = struct.pack(f">{values.ndim}I", *values.shape)
    return bytes([0, 0, code, values.ndim]) + sizes + values.astype(values.dtype.newbyteorder(">")).tobytes()


@settings(deadline=None)
@given(
    st.sampled_from(sorted(CODES))
    .flatmap(lambda code: hnp.arrays(code, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))),
    st.booleans(),
)  # fmt: skip
def test_round_trip(values: np.ndarray, packed: bool):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("values.gz" if packed else "values")
        path.write_bytes(gzip.compress(idx_bytes(values)) if packed else idx_bytes(values))
        found = read_idx(path)
    assert found.dtype == values.dtype
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, values)


WHOLE = idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


@pytest.mark.parametrize("length", range(1, len(WHOLE)))
@pytest.mark.parametrize("packed", [False, True])
def test_every_shorter_content_is_refused(tmp_path: Path, length: int, packed: bool):
    path = tmp_path / ("x.gz" if packed else "x")
    path.write_bytes(gzip.compress(WHOLE[:length]) if packed else WHOLE[:length])
    with pytest.raises(UsageError, match=r"x(\.gz)? is (cut short|not an idx file)"):
        read_idx(path)


@pytest.mark.parametrize("length", range(1, len(gzip.compress(WHOLE))))
def test_every_shorter_gzip_file_is_refused(tmp_path: Path, length: int):
    (tmp_path / "x.gz").write_bytes(gzip.compress(WHOLE)[:length])
    with pytest.raises(UsageError, match=r"x\.gz is (cut short|not an idx file)"):
        read_idx(tmp_path / "x.gz")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", r"x is empty; copy or download it again"),
        (b"\x89PNG" + WHOLE, r"x is not an idx file: it begins with the bytes 89 50 4e 47"),
        (b"\x01" + WHOLE[1:], r"x is not an idx file: it begins with the bytes 01 00 08 03"),
        (b"\0\0\x0a\x01" + WHOLE, r"x is not an idx file: .* 00 00 0a 01"),
        (b"\0\0\x08\0", r"x is not an idx file"),
        (WHOLE + b"!", r"x is longer than the 40 bytes its header announces"),
        (b"\0\0\x08\x03" + b"\xff" * 12, r"x is cut short: its header announces 79228162458924105385300197391 byt"),
    ],
)
def test_what_is_no_idx_file_is_refused(tmp_path: Path, content: bytes, says: str):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(UsageError, match=says):
        read_idx(tmp_path / "x")


def test_a_forged_header_asks_for_no_memory(tmp_path: Path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"\0\0\x08\x02" + struct.pack(">II", 2**31, 2**31)))
    with pytest.raises(UsageError, match=r"announces 4611686018427387916 bytes, it has fewer"):
        read_idx(tmp_path / "x.gz")


def test_a_flipped_bit_in_a_gzip_file_is_refused(tmp_path: Path):
    content = bytearray(gzip.compress(WHOLE))
    content[-5] ^= 1  # in the checksum that gzip keeps
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(UsageError, match=r"x\.gz is cut short or damaged \(CRC"):
        read_idx(tmp_path / "x.gz")


def test_a_missing_file_is_a_sentence(tmp_path: Path):
    with pytest.raises(UsageError, match=r"x cannot be read: No such file or directory"):
        read_idx(tmp_path / "x")
