"""A part of the training set in the place of the test set: what choices are made on."""

import dataclasses
import hashlib

from tithe.errors import UsageError
from tithe.train.data.dataset import Dataset
from tithe.train.data.split import stratified_split


def held_out(dataset: Dataset, share: float) -> Dataset:
    """The training set alone, a share of each class of it held out as the test set; the same share for ever.

    Its name says that it is for validation, so that no error on it is taken for one on the test set.

    Raises:
        UsageError: the share leaves nothing to hold out.
    """
    kept, out = stratified_split(dataset.y_train.numpy(), share)
    if len(out) == 0:
        raise UsageError(
            f"no class of {dataset.name} has two training examples, so none can be held out; give more data."
        )
    return dataclasses.replace(
        dataset,
        name=f"{dataset.name} (validation)",
        x_train=dataset.x_train[kept],
        y_train=dataset.y_train[kept],
        x_test=dataset.x_train[out],
        y_test=dataset.y_train[out],
        # The parts follow from the whole and the share, so this too means "the same data".
        sha256=hashlib.sha256(f"{dataset.sha256} validation {share!r}".encode()).hexdigest(),
    )
