"""A user's own .npz: every layout that is allowed, and a sentence for everything that is not."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tithe.errors import UsageError
from tithe.train.data import load
from tithe.train.data.npz import load_npz

LABELS = np.arange(12) % 3


def arrays(**changes: Any) -> dict[str, np.ndarray]:
    """Twelve gray images for training and six for testing, three classes; `changes` replace or, if None, remove."""
    random = np.random.default_rng(0)
    whole = {
        "x_train": random.integers(0, 256, (12, 5, 7), dtype=np.uint8),
        "y_train": LABELS,
        "x_test": random.integers(0, 256, (6, 5, 7), dtype=np.uint8),
        "y_test": LABELS[:6],
    }
    return {key: value for key, value in (whole | changes).items() if value is not None}


def saved(folder: Path, **changes: Any) -> Path:
    np.savez(folder / "own.npz", **arrays(**changes))
    return folder / "own.npz"


def test_the_real_cifar10(shared: Path):
    data = load(str(shared / "data" / "cifar-10" / "cifar10.npz"))
    assert data.x_train.shape == (50_000, 3, 32, 32)
    assert data.x_test.shape == (10_000, 3, 32, 32)
    assert data.x_train.dtype == torch.uint8
    assert data.y_train.bincount().tolist() == [5000] * 10
    assert data.y_test.bincount().tolist() == [1000] * 10
    # The means of red, green and blue as published: 0.4914, 0.4822, 0.4465.
    means = data.x_train.sum((0, 2, 3), dtype=torch.int64) / (50_000 * 32 * 32 * 255)
    assert [round(mean, 4) for mean in means.tolist()] == [0.4914, 0.4822, 0.4465]
    assert (data.name, data.classes, data.class_names) == ("cifar10.npz", 10, None)


@pytest.mark.parametrize(
    ("shape", "channels_last", "read_as"),
    [
        ((5, 7), False, (1, 5, 7)),
        ((5, 7, 1), True, (1, 5, 7)),
        ((5, 7, 3), True, (3, 5, 7)),
        ((5, 7, 4), True, (4, 5, 7)),
        ((3, 5, 7), False, (3, 5, 7)),
        ((2, 5, 7), False, (2, 5, 7)),
        ((9,), False, (9,)),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64, ">f4"])
def test_every_layout_is_read(tmp_path: Path, shape: tuple[int, ...], channels_last: bool, read_as, dtype):
    x_train = np.random.default_rng(0).integers(0, 256, (12, *shape)).astype(dtype)
    data = load_npz(saved(tmp_path, x_train=x_train, x_test=x_train[:6]))
    expected = np.moveaxis(x_train, -1, 1) if channels_last else x_train.reshape(12, *read_as)
    assert data.x_train.shape == (12, *read_as)
    assert data.x_train.is_contiguous()
    assert data.x_train.dtype == (torch.uint8 if dtype == np.uint8 else torch.float32)
    np.testing.assert_array_equal(data.x_train, expected)
    np.testing.assert_array_equal(data.x_test, expected[:6])
    assert data.classes == 3


@pytest.mark.parametrize("dtype", ["u1", "i1", "i4", "i8", "u8", ">i2"])
def test_labels_of_any_integer_type(tmp_path: Path, dtype: str):
    data = load_npz(saved(tmp_path, y_train=LABELS.astype(dtype)[:, None], y_test=LABELS[:6].astype(dtype)))
    assert data.y_train.dtype == data.y_test.dtype == torch.int64
    assert data.y_train.tolist() == LABELS.tolist()


def test_other_arrays_are_ignored_even_pickled_ones(tmp_path: Path):
    plain = load_npz(saved(tmp_path))
    extra = load_npz(saved(tmp_path, notes=np.array([{"a": 1}], dtype=object), classes=np.array(["x"])))
    assert plain.sha256 == extra.sha256


NAN = np.zeros((12, 2, 4, 3))
NAN[7, 1, 2, 0] = np.nan
NAN[9] = np.inf
HUGE = np.zeros((12, 2), np.float64)
HUGE[3, 1] = 1e300


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"y_test": None}, r"has the arrays x_train, y_train, x_test and no y_test; x_train, y_train, x_test, y_t"),
        ({"x_train": np.array([None] * 12)}, r"not an \.npz file of plain arrays \(x_train: Object arrays"),
        ({"x_train": NAN}, r"x_train\[7, 1, 2, 0\] is nan where every value must be finite"),
        ({"x_test": NAN[9:]}, r"x_test\[0, 0, 0, 0\] is inf where every value must be finite"),
        ({"x_train": HUGE}, r"x_train\[3, 1\] is 1e\+300 where every value must be finite in float32"),
        ({"x_train": np.zeros((12, 3), np.int64)}, r"x_train holds int64 values where uint8 or float is allowed"),
        ({"x_train": np.zeros((12, 3), bool)}, r"x_train holds bool values where uint8 or float is allowed"),
        ({"x_train": np.array(["a"] * 12)}, r"x_train holds <U1 values where uint8 or float is allowed"),
        ({"x_train": np.zeros(12, np.uint8)}, r"x_train has shape \[12\] where \[n, F\], .* is allowed"),
        ({"x_train": np.zeros((12, 1, 1, 1, 1), np.uint8)}, r"x_train has shape \[12, 1, 1, 1, 1\] where"),
        ({"x_train": np.zeros((), np.uint8)}, r"x_train has shape \[\] where"),
        ({"x_train": np.zeros((12, 3, 9, 4), np.uint8)}, r"which may be \[n, C, H, W\] or \[n, H, W, C\]"),
        ({"x_train": np.zeros((11, 5, 7), np.uint8)}, r"x_train has 11 examples but y_train has 12 labels"),
        ({"x_test": np.zeros((6, 5, 8), np.uint8)}, r"shape \[1, 5, 7\] and type uint8 but x_test of shape \[1, 5, 8"),
        ({"x_test": np.zeros((6, 5, 7))}, r"type uint8 but x_test of shape \[1, 5, 7\] and type float32"),
        ({"x_test": np.zeros((0, 5, 7), np.uint8), "y_test": LABELS[:0]}, r"x_test is empty \(shape \[0, 1, 5, 7\]\)"),
        ({"x_train": np.zeros((12, 0), np.uint8)}, r"x_train is empty \(shape \[12, 0\]\)"),
        ({"y_train": LABELS * 1.0}, r"y_train holds float64 values where labels must be integers"),
        ({"y_train": LABELS[None]}, r"y_train has shape \[1, 12\] where one label an example, \[n\], is allowed"),
        ({"y_train": LABELS - 1}, r"y_train\[0\] is -1 where labels must be 0 or more"),
        ({"y_train": LABELS * 6}, r"y_train has the label 12 in 12 examples; number the labels 0, 1, \.\.\., class"),
        ({"y_train": LABELS * 0}, r"y_train holds only the label 0; at least two classes are needed"),
        ({"y_train": np.full(12, 2**63, np.uint64)}, r"y_train holds only the label 9223372036854775808"),
        ({"y_test": np.array([0, 1, 2, 2, 3, 9])}, r"y_test\[4\] is 3 where labels must be 0 to 2"),
    ],
)
def test_what_is_not_allowed_is_a_sentence(tmp_path: Path, changes: dict[str, Any], says: str):
    path = saved(tmp_path, **changes)
    with pytest.raises(UsageError, match=says) as caught:
        load_npz(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "own.npz is empty"), (b"\x80\x04N.", "own.npz is cut short, damaged or not an .npz file")],
)
def test_what_is_no_npz_file_is_refused(tmp_path: Path, content: bytes, says: str):
    (tmp_path / "own.npz").write_bytes(content)
    with pytest.raises(UsageError, match=says):
        load_npz(tmp_path / "own.npz")


def test_a_missing_file_is_a_sentence(tmp_path: Path):
    with pytest.raises(UsageError, match=r"own\.npz cannot be read: No such file or directory"):
        load(str(tmp_path / "own.npz"))


@pytest.mark.parametrize(
    ("member", "says"),
    [
        ("x_train.npy", r"not an \.npz file of plain arrays \(x_train: .*magic"),
        ("x_train", r"has the arrays none and no x_train; "),
    ],
)
def test_an_archive_of_something_else_is_refused(tmp_path: Path, member: str, says: str):
    with zipfile.ZipFile(tmp_path / "own.npz", "w") as archive:
        archive.writestr(member, b"hello")
    with pytest.raises(UsageError, match=says):
        load_npz(tmp_path / "own.npz")


@settings(deadline=None)
@given(data=st.data())
def test_a_cut_or_flipped_file_never_passes_for_another(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory):
    path = saved(tmp_path_factory.mktemp("npz"))
    whole, before = path.read_bytes(), load_npz(path)
    place = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[place] ^= 1 << data.draw(st.integers(0, 7))
    for broken in (whole[:place], bytes(flipped)):
        path.write_bytes(broken)
        try:
            after = load_npz(path)
        except UsageError:
            continue
        assert after.sha256 == before.sha256  # the bit was in something that is not read, such as a date
