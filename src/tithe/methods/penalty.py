"""How strong a penalty is: what L1 and the group lasso share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from tithe.errors import UsageError


def strength_for(loss: Callable[[], Tensor], penalty: float, share: float) -> float:
    """The strength that makes the penalty `share` of loss and penalty together (PruneTrain, arXiv 1901.09290)."""
    with torch.no_grad():
        value = float(loss())
    return share / (1 - share) * value / penalty if penalty > 0 else 0.0


def step_length(optimizer: Optimizer, parameter: Tensor) -> float:
    """How far a constant gradient of 1 moves this parameter in a step, in the long run.

    The learning rate; with SGD's momentum m and dampening d, times (1 - d) / (1 - m).
    """
    group = next(g for g in optimizer.param_groups if any(p is parameter for p in g["params"]))
    rate = float(group["lr"])
    return rate * (1 - group["dampening"]) / (1 - group["momentum"]) if isinstance(optimizer, SGD) else rate


def check_share(share: float) -> None:
    """Raise UsageError where it is not at least 0 and below 1."""
    if not 0 <= share < 1:
        raise UsageError(f"share={share!r} was given; it is at least 0 and below 1, e.g. 0.2")
