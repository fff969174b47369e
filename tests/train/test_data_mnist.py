"""MNIST and Fashion-MNIST: the real files, unpacked ones, and everything that can be wrong with them."""

import gzip
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tithe.errors import UsageError
from tithe.train.data import load
from tithe.train.data.official import default_data_dir
from tithe.train.data.sources import FASHION_MNIST, MNIST

FILES = [file.name.removesuffix(".gz") for file in MNIST.files]
FASHION_FIRST = (9, 0, 0, 3, 0, 2, 7, 2, 5, 5)


def write_idx(path: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """Twenty training and ten test images, unpacked: too few to be real, right in everything else."""
    random = np.random.default_rng(0)
    for index, (images, labels) in enumerate(((FILES[0], FILES[1]), (FILES[2], FILES[3]))):
        count = 20 - 10 * index
        write_idx(tmp_path / images, random.integers(0, 256, (count, 28, 28)))
        write_idx(tmp_path / labels, np.arange(count) % 10)
    return tmp_path


def test_the_real_mnist(shared: Path):
    data = load("mnist", shared / "data")
    assert data.x_train.shape == (60_000, 1, 28, 28)
    assert data.x_test.shape == (10_000, 1, 28, 28)
    assert data.x_train.dtype == data.x_test.dtype == torch.uint8
    assert data.y_train.dtype == data.y_test.dtype == torch.int64
    assert data.y_train[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.y_test[:5].tolist() == [7, 2, 1, 0, 4]
    # Published counts of each digit.
    assert data.y_train.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert round(data.x_train.double().mean().item() / 255, 4) == 0.1307  # published mean
    assert (data.name, data.classes, data.class_names) == ("mnist", 10, tuple("0123456789"))


def test_official_files_unpacked_or_in_the_data_folder_itself_are_the_same_data(shared: Path, tmp_path: Path):
    real = shared / "data" / "mnist"
    for index, file in enumerate(MNIST.files):
        if index % 2:
            shutil.copy(real / file.name, tmp_path)
        else:  # the other usual spelling
            plain = tmp_path / file.name.removesuffix(".gz").replace("-idx", ".idx")
            plain.write_bytes(gzip.decompress((real / file.name).read_bytes()))
    assert load("mnist", tmp_path).sha256 == load("mnist", real).sha256


def test_unpacked_files_are_read(unpacked: Path):
    data = load("fashion-mnist", unpacked)
    assert data.x_train.shape == (20, 1, 28, 28)
    assert data.y_test.tolist() == list(range(10))
    assert data.class_names is not None
    assert data.class_names[9] == "Ankle boot"


def test_missing_files_are_asked_for_by_name(tmp_path: Path):
    with pytest.raises(UsageError) as caught:
        load("mnist", tmp_path)
    said = str(caught.value)
    assert said.startswith(f"mnist is not in {tmp_path / 'mnist'}; add --download to fetch it, or put ")
    assert all(file.name in said for file in MNIST.files)
    assert "https://ossci-datasets.s3.amazonaws.com/mnist/" in said
    assert not list(tmp_path.iterdir())


def test_only_what_is_missing_is_asked_for(unpacked: Path):
    (unpacked / FILES[3]).unlink()
    with pytest.raises(UsageError, match=rf"or put {FILES[3]}\.gz from \S+ into {unpacked}$"):
        load("mnist", unpacked)


def test_a_file_as_data_folder_is_refused(tmp_path: Path):
    (tmp_path / "data").touch()
    with pytest.raises(UsageError, match=r"the data folder .*data is a file; give a folder"):
        load("mnist", tmp_path / "data")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def replace(values: np.ndarray) -> Callable[[Path], None]:
    return lambda path: write_idx(path, values)


@pytest.mark.parametrize(
    ("file", "damage", "says"),
    [
        (0, lambda path: path.write_bytes(b""), "train-images-idx3-ubyte is empty"),
        (0, cut, "train-images-idx3-ubyte is cut short: its header announces 15696 bytes, it has 15695"),
        (0, replace(np.zeros((20, 27, 28))), r"holds uint8 values of shape \[20, 27, 28\] where .* \[n, 28, 28\]"),
        (0, replace(np.zeros(20)), r"train-images\S+ holds uint8 values of shape \[20\]"),
        (1, replace(np.zeros((20, 1))), r"train-labels\S+ holds uint8 values of shape \[20, 1\]"),
        (2, replace(np.zeros((9, 28, 28))), r"t10k-images\S+ has 9 images but \S+t10k-labels\S+ has 10 labels"),
        (3, replace(np.full(10, 10)), r"t10k-labels\S+\[0\] is 10 where labels must be 0 to 9"),
    ],
)
def test_a_damaged_file_is_named(unpacked: Path, file: int, damage: Callable[[Path], None], says: str):
    damage(unpacked / FILES[file])
    with pytest.raises(UsageError, match=says):
        load("mnist", unpacked)


def test_an_empty_split_is_refused(unpacked: Path):
    write_idx(unpacked / FILES[2], np.zeros((0, 28, 28)))
    write_idx(unpacked / FILES[3], np.zeros(0))
    with pytest.raises(UsageError, match=r"x_test is empty \(shape \[0, 1, 28, 28\]\)"):
        load("mnist", unpacked)


def test_an_official_file_with_a_wrong_checksum_is_refused(unpacked: Path):
    fake = unpacked / MNIST.files[3].name
    fake.write_bytes(b"x" * MNIST.files[3].size)
    with pytest.raises(UsageError, match=rf"{fake} has the wrong checksum, sha256 [0-9a-f]{{64}}, officially f7ae"):
        load("mnist", unpacked)
    fake.write_bytes(b"x" * 100)
    with pytest.raises(UsageError, match=rf"{fake} has 100 bytes but the official file 4542; delete it"):
        load("mnist", unpacked)


def test_fashion_is_not_taken_for_mnist(unpacked: Path):
    write_idx(unpacked / FILES[1], np.resize(FASHION_FIRST, 20))
    with pytest.raises(UsageError, match=r"train-labels\S+ belongs to fashion-mnist, not mnist"):
        load("mnist", unpacked)
    assert load("fashion-mnist", unpacked).y_train[:10].tolist() == list(FASHION_FIRST)


def test_packed_mnist_is_not_taken_for_fashion(shared: Path):
    with pytest.raises(UsageError, match=r"train-images\S+gz belongs to mnist, not fashion-mnist"):
        load("fashion-mnist", shared / "data" / "mnist")


def test_the_folder_of_the_name_comes_first(unpacked: Path):
    (unpacked / "fashion-mnist").mkdir()
    for name in FILES:
        shutil.copy(unpacked / name, unpacked / "fashion-mnist")
    write_idx(unpacked / FILES[1], np.resize(MNIST.first_labels, 20))
    assert load("fashion-mnist", unpacked).y_train[:3].tolist() == [0, 1, 2]
    assert FASHION_MNIST.first_labels == FASHION_FIRST


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("TITHE_DATA", str(tmp_path / "mine"))
    assert default_data_dir() == tmp_path / "mine"
    with pytest.raises(UsageError, match=str(tmp_path / "mine" / "mnist")):
        load("mnist")
    monkeypatch.delenv("TITHE_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_data_dir() == tmp_path / "cache" / "tithe"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_data_dir() == tmp_path / ".cache" / "tithe"
