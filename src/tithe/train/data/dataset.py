"""One data set, already split and checked, as tensors of raw values."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tithe.errors import UsageError

Split = tuple[np.ndarray, np.ndarray]  # inputs [n, C, H, W] or [n, F], labels [n]


@dataclass(frozen=True)
class Dataset:
    """A training set and a test set, made by `make`, which checks them.

    Values are raw: uint8 images stay 0..255 (one byte a value), normalising is the caller's work.
    `sha256` covers the dtype, shape and bytes of the four arrays, so equal means "the same data".
    """

    name: str
    x_train: Tensor  # [n, C, H, W] or [n, F], uint8 or float32
    y_train: Tensor  # [n], int64, 0..classes-1
    x_test: Tensor  # [m, C, H, W] or [m, F], the dtype of x_train
    y_test: Tensor  # [m], int64, 0..classes-1
    classes: int
    class_names: tuple[str, ...] | None
    sha256: str


def make(
    name: str,
    source: str,
    train: Split,
    test: Split,
    classes: int | None = None,
    class_names: tuple[str, ...] | None = None,
) -> Dataset:
    """Checks the two splits and makes a `Dataset` of them.

    `source` (a file or folder) begins every error. Without `classes` the largest training label counts them.
    Inputs are uint8 or float32, [n, C, H, W] or [n, F]; whether floats are finite is for the reader to check,
    who knows the file's own layout.

    Raises:
        UsageError: an empty split, counts or shapes that differ, labels that are not integers 0..classes-1.
    """
    for part, (x, y) in (("train", train), ("test", test)):
        _check_split(source, part, x, y)
    _check_alike(source, train[0], test[0])
    check_labels(f"{source}: y_train", train[1], classes)
    classes = _count_classes(source, train[1]) if classes is None else classes
    check_labels(f"{source}: y_test", test[1], classes)
    x_train, y_train = _tensor(train[0]), _tensor(train[1], np.int64)
    x_test, y_test = _tensor(test[0]), _tensor(test[1], np.int64)
    sha256 = fingerprint((x_train, y_train, x_test, y_test))
    return Dataset(name, x_train, y_train, x_test, y_test, classes, class_names, sha256)


def check_labels(where: str, labels: np.ndarray, classes: int | None) -> None:
    """Refuses labels that are not integers in 0..classes-1; `where` begins the error.

    Raises:
        UsageError: with the first label at fault and its index.
    """
    if labels.dtype.kind not in "iu":
        raise UsageError(
            f"{where} holds {labels.dtype} values where labels must be integers 0, 1, ..., classes-1; "
            "convert them with astype('int64')"
        )
    bad = labels < 0 if classes is None else (labels < 0) | (labels >= classes)
    if bad.any():
        first = int(bad.argmax())
        allowed = "0 or more" if classes is None else f"0 to {classes - 1}"
        raise UsageError(f"{where}[{first}] is {labels[first]} where labels must be {allowed}; mend the labels")


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """The sha256 over each tensor's dtype, shape and bytes, in order."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().data)
    return digest.hexdigest()


def _check_split(source: str, part: str, x: np.ndarray, y: np.ndarray) -> None:
    if y.ndim != 1:
        raise UsageError(f"{source}: y_{part} has shape {list(y.shape)} where one label an example, [n], is allowed")
    if len(x) != len(y):
        raise UsageError(
            f"{source}: x_{part} has {len(x)} examples but y_{part} has {len(y)} labels; "
            "there must be one label an example"
        )
    if x.size == 0:
        raise UsageError(f"{source}: x_{part} is empty (shape {list(x.shape)}); each split needs at least one example")


def _check_alike(source: str, x_train: np.ndarray, x_test: np.ndarray) -> None:
    if x_train.shape[1:] != x_test.shape[1:] or x_train.dtype != x_test.dtype:
        raise UsageError(
            f"{source}: x_train has examples of {_kind(x_train)} but x_test of {_kind(x_test)}; "
            "both splits must have one shape and type"
        )


def _count_classes(source: str, labels: np.ndarray) -> int:
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest == highest:
        raise UsageError(f"{source}: y_train holds only the label {lowest}; at least two classes are needed")
    # A stray huge label would otherwise ask for a last layer of that many rows.
    if highest >= len(labels):
        raise UsageError(
            f"{source}: y_train has the label {highest} in {len(labels)} examples; "
            "number the labels 0, 1, ..., classes-1 without gaps"
        )
    return highest + 1


def _kind(x: np.ndarray) -> str:
    return f"shape {list(x.shape[1:])} and type {x.dtype}"


def _tensor(x: np.ndarray, dtype: type | None = None) -> Tensor:
    """A tensor over x's memory where that is possible; torch wants it contiguous and writable."""
    return torch.from_numpy(np.require(x, dtype, ["C", "W"]))
