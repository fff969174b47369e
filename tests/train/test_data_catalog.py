"""The names a user may give, the built-in digits, and when two data sets are the same."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tithe.errors import UsageError
from tithe.train.data import load, names
from tithe.train.data.dataset import Dataset, make
from tithe.train.data.split import stratified_split


def test_digits():
    data = load("digits")
    assert data.x_train.shape == (1438, 1, 8, 8)
    assert data.x_test.shape == (359, 1, 8, 8)
    assert data.x_train.dtype == torch.float32
    assert data.x_train.max() == 1
    assert set((data.x_train * 16).unique().tolist()) == set(range(17))
    assert (data.name, data.classes, data.class_names) == ("digits", 10, tuple("0123456789"))
    share = data.y_test.bincount() / (data.y_test.bincount() + data.y_train.bincount())
    assert ((share - 0.2).abs() < 0.005).all()
    # Written down: the split must be this one on every machine and with every version.
    assert data.sha256 == "e3142467973cfdeeba200f41fc4be69f64d37f79c43021ad223486dfc0e68d4f"


def test_names():
    assert names() == ("digits", "mnist", "fashion-mnist", "cifar10", "PATH.npz", "folder:PATH")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("minst", r"'minst' is not a data set: did you mean mnist\? allowed are digits, mnist, fashion-mnist, cif"),
        ("MNIST", r"did you mean mnist"),
        ("cifar-10", r"did you mean cifar10\?"),
        ("CIFAR10", r"did you mean cifar10\?"),
        ("fashion_mnist", r"did you mean fashion-mnist"),
        ("imagenet-of-everything", r"'imagenet-of-everything' is not a data set: allowed are"),
        ("", r"'' is not a data set: allowed are"),
    ],
)
def test_an_unknown_name_is_told_the_nearest(spec: str, says: str):
    with pytest.raises(UsageError, match=says):
        load(spec)


def test_a_bare_folder_is_told_how_to_ask(tmp_path: Path):
    with pytest.raises(UsageError, match=rf"for a folder of images write folder:{tmp_path}; allowed are"):
        load(str(tmp_path))


def toy(**changes: np.ndarray) -> Dataset:
    arrays = {
        "x_train": np.arange(8, dtype=np.uint8).reshape(4, 2),
        "y_train": np.array([0, 1, 0, 1]),
        "x_test": np.ones((2, 2), np.uint8),
        "y_test": np.array([0, 1]),
    } | changes
    train, test = (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])
    return make("toy", "toy.npz", train, test)


def test_the_hash_sees_every_array_and_its_type_and_shape():
    whole = toy().sha256
    assert toy().sha256 == whole
    others = [
        toy(x_train=np.arange(1, 9, dtype=np.uint8).reshape(4, 2)),
        toy(y_train=np.array([1, 0, 0, 1])),
        toy(x_test=np.zeros((2, 2), np.uint8)),
        toy(y_test=np.array([1, 0])),
        toy(x_train=np.arange(8, dtype=np.float32).reshape(4, 2), x_test=np.ones((2, 2), np.float32)),
        toy(x_train=np.arange(8, dtype=np.uint8).reshape(4, 1, 2, 1), x_test=np.ones((2, 1, 2, 1), np.uint8)),
    ]
    assert len({whole, *(other.sha256 for other in others)}) == 1 + len(others)


def test_the_hash_is_of_the_values_not_of_their_order_in_memory():
    fortran = np.asfortranarray(np.arange(8, dtype=np.uint8).reshape(4, 2))
    assert toy(x_train=fortran).sha256 == toy().sha256


def test_the_split_is_stratified_fixed_and_complete():
    labels = np.array([0] * 10 + [1] * 5 + [2] * 2 + [3])
    train, test = stratified_split(labels)
    assert np.bincount(labels[test], minlength=4).tolist() == [2, 1, 1, 0]
    assert sorted([*train, *test]) == list(range(len(labels)))
    np.testing.assert_array_equal(stratified_split(labels)[1], test)
