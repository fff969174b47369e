"""Holding out a part of the training set."""

import pytest
import torch

from tithe.errors import UsageError
from tithe.train import data
from tithe.train.defaults import complete


def test_a_share_of_each_class_is_held_out_and_nothing_of_the_test_set_is_seen():
    digits = data.load("digits")
    part = data.held_out(digits, 0.2)
    assert len(part.y_train) + len(part.y_test) == len(digits.y_train)
    for label in range(10):
        share = (part.y_test == label).sum() / (digits.y_train == label).sum()
        assert abs(float(share) - 0.2) < 0.01
    every = torch.cat([part.x_train, part.x_test]).flatten(1)
    assert torch.equal(every.sort(0).values, digits.x_train.flatten(1).sort(0).values)
    assert part.sha256 not in (digits.sha256, data.held_out(digits, 0.1).sha256)
    assert torch.equal(part.x_test, data.held_out(digits, 0.2).x_test)
    assert part.name == "digits (validation)"


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_shares_that_are_none_are_refused(share):
    with pytest.raises(UsageError, match="validation"):
        complete("digits", {"validation": share})
