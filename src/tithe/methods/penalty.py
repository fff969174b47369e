"""What L1 and the group lasso share: a penalty with a strength that the first batch may decide."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from tithe.errors import UsageError
from tithe.methods.base import Method, check_loss, check_not_negative, unremembered


class Penalised(Method):
    """Base of the methods that penalise weights; to be named before the other base."""

    strength: float | None  # None: until `prepare` has chosen it
    share: float

    def _penalise(self, strength: float | None, share: float) -> None:
        """At the end of a constructor."""
        self.strength, self.share = strength, share

    @property
    def needs_loss(self) -> bool:
        """Until its strength is known."""
        return self.strength is None

    def prepare(self, loss: Callable[[], Tensor]) -> None:
        """Choose the strength by one batch's loss, where none was given.

        Raises:
            UsageError: `loss` is no function.
        """
        check_loss(loss)
        if self.strength is None:
            with unremembered(self._buffers()):
                self.strength = strength_for(loss, self._penalty(), self.share)

    def state_dict(self) -> dict[str, Any]:
        """As every method's, and the strength."""
        return super().state_dict() | {"strength": self.strength}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was saved; load the model's and the optimizer's state first (`tithe.fit_channels`)."""
        super().load_state_dict(state)
        self.strength = state["strength"]

    @abstractmethod
    def _penalty(self) -> float:
        """What the strength is multiplied with, of the weights as they are."""


def strength_for(loss: Callable[[], Tensor], penalty: float, share: float) -> float:
    """The strength that makes the penalty `share` of loss and penalty together (PruneTrain, arXiv 1901.09290)."""
    with torch.no_grad():
        value = float(loss())
    return share / (1 - share) * value / penalty if penalty > 0 else 0.0


def step_length(optimizer: Optimizer, group: Mapping[str, Any]) -> float:
    """How far a constant gradient of 1 moves a parameter of this group in a step, in the long run.

    The learning rate; with SGD's momentum m and dampening d, times (1 - d) / (1 - m).
    """
    rate = float(group["lr"])
    return rate * (1 - group["dampening"]) / (1 - group["momentum"]) if isinstance(optimizer, SGD) else rate


def check_penalty(strength: float | None, share: float) -> None:
    """Raise UsageError where one of them is out of range."""
    check_not_negative(strength=strength)
    if not 0 <= share < 1:
        raise UsageError(f"share={share!r} was given; it is at least 0 and below 1, e.g. 0.2")
