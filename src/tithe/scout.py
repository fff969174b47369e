"""Scouting: for a few steps before a rewiring, follow the momentum that every missing weight would have.

A sparse step never makes the gradient of a missing weight. But momentum is an exponential average: the last n steps
before a rewiring hold all but decay^n of it. So only in those steps the dense gradient dY^T X of each layer is taken,
after the optimizer's step, a few rows at a time, and folded into one dense accumulator with the optimizer's own decay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, optim

from tithe.errors import UsageError
from tithe.nn.layer import SparseLayer
from tithe.nn.record import Record
from tithe.rewire import group_of
from tithe.scores import row_tiles

OWN_DECAY = 0.9  # for optimizers that keep no average of the gradient
FOLD = 2**20  # positions whose gradient is made at a time: 4 MB, and large enough for a fast matrix product
EPSILON = 1e-8  # in m / (sqrt(v) + epsilon), as in Dettmers & Zettlemoyer's public code


@dataclass(frozen=True)
class Average:
    """How an optimizer averages a parameter's gradient g: m <- decay m + scale g; v <- decay2 v + (1 - decay2) g^2."""

    key: str | None  # the state that holds m; None: the optimizer keeps none
    decay: float
    scale: float
    key2: str | None = None  # the state that holds v
    decay2: float = 0.0


def average_of(optimizer: optim.Optimizer, values: Tensor) -> Average:
    """The average that the optimizer keeps of this parameter's gradient, with its present hyper-parameters."""
    group = group_of(optimizer, values)
    sign = -1.0 if group.get("maximize") else 1.0
    if isinstance(optimizer, optim.SGD) and group["momentum"] > 0:
        return Average("momentum_buffer", group["momentum"], sign * (1 - group["dampening"]))
    if "betas" in group and "exp_avg_sq" in optimizer.state.get(values, {"exp_avg_sq": None}):
        decay, decay2 = group["betas"]
        return Average("exp_avg", decay, sign * (1 - decay), "exp_avg_sq", decay2)
    return Average(None, OWN_DECAY, sign * (1 - OWN_DECAY))


class Scout:
    """The dense accumulators of one layer, alive only while it is scouted."""

    def __init__(self, layer: SparseLayer, average: Average) -> None:
        self.layer = layer
        self.steps = 0
        shape = layer.matrix_shape
        self.first = layer.values.new_zeros(shape)  # m of every logical weight, [rows, cols]
        self.second = layer.values.new_zeros(shape) if average.key2 else None  # v
        self._correction = 1.0
        self._raw_norm: Tensor | None = None  # of the gradient as backward left it, before any scaling or clipping
        self._record = layer.record = Record()
        self._hook = layer.values.register_post_accumulate_grad_hook(self._note)

    def _note(self, values: Tensor) -> None:
        self._record.reached()
        if values.grad is not None:
            self._raw_norm = values.grad.norm()

    def is_finite(self) -> bool:
        """Whether this step's gradient of the existing weights is."""
        return self._raw_norm is None or bool(torch.isfinite(self._raw_norm))

    @property
    def felt(self) -> bool:
        """Whether backward left this step a gradient of the existing weights that is not zero."""
        return self._raw_norm is not None and bool(self._raw_norm > 0)

    @property
    def zero_now(self) -> bool:
        """Whether that gradient is there, and all zeros."""
        gradient = self.layer.values.grad
        return gradient is not None and not bool(gradient.any())

    def fold(self, average: Average, total_steps: int) -> None:
        """Take the recorded passes of one optimizer step into the average."""
        factor = self._factor()
        passes = self._record.passes
        for rows in self._tiles() if passes else ():
            gradient = self._weight_gradient(*passes[0], rows).mul_(factor)
            for x, dy in passes[1:]:
                gradient.add_(self._weight_gradient(x, dy, rows), alpha=factor)
            self.first[rows].mul_(average.decay).add_(gradient, alpha=average.scale)
            if self.second is not None:
                self.second[rows].mul_(average.decay2).addcmul_(gradient, gradient, value=1 - average.decay2)
        self.steps += bool(passes)
        if self.second is not None and self.steps:
            # A window of n steps holds 1 - decay2^n of what v holds after all t steps: bring it to the same size.
            self._correction = (1 - average.decay2**total_steps) / (1 - average.decay2**self.steps)
        self.forget()

    def forget(self) -> None:
        """Empty the record without folding it: the optimizer skipped this step, or it is done."""
        self._raw_norm = None
        self._record.clear()

    def stop(self) -> None:
        """Leave the layer as it was before scouting."""
        self._hook.remove()
        self.layer.record = None

    def holds_only_numbers(self) -> bool:
        """Whether the accumulators are finite."""
        sums = [part.sum() for part in (self.first, self.second) if part is not None]
        return all(bool(torch.isfinite(s)) for s in sums)

    def signal(self, rows: slice) -> Tensor:
        """[len(rows), cols]: m, or m / (sqrt(v) + 1e-8)."""
        if self.second is None:
            return self.first[rows]
        return normalised(self.first[rows], self.second[rows] * self._correction)

    def state_at(self, positions: Tensor, average: Average, moving: bool) -> dict[str, Tensor]:
        """The optimizer state for weights grown at these positions (int64 [k]): v, and m if they start moving."""
        state = {}
        if average.key and moving:
            state[average.key] = self.first.view(-1)[positions]
        if average.key2 and self.second is not None:
            state[average.key2] = self.second.view(-1)[positions] * self._correction
        return state

    def put(self, positions: Tensor, state: dict[str, Tensor], average: Average) -> None:
        """Write the optimizer's own averages at these positions: those of weights that were just dropped."""
        if average.key in state:
            self.first.view(-1)[positions] = state[average.key]
        if self.second is not None and average.key2 in state:
            self.second.view(-1)[positions] = state[average.key2] / self._correction

    def state_dict(self) -> dict[str, Any]:
        """The accumulators and how many steps they hold."""
        return {
            "steps": self.steps,
            "first": self.first,
            "second": self.second,
            "correction": self._correction,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from saved accumulators of the same shape."""
        self.steps, self._correction = state["steps"], state["correction"]
        self.first.copy_(state["first"])
        if self.second is not None:
            self.second.copy_(state["second"])

    def nbytes(self) -> int:
        """Bytes of the dense accumulators."""
        return sum(part.nbytes for part in (self.first, self.second) if part is not None)

    def _tiles(self) -> Any:
        shape = self.layer.matrix_shape
        return row_tiles(*shape, FOLD, least=1) if self.layer.rows_are_separate else [slice(0, shape[0])]

    def _weight_gradient(self, x: Tensor, dy: Tensor, rows: slice) -> Tensor:
        """The layer's, in its own dtype even where the caller's autocast is on."""
        with torch.autocast(x.device.type, enabled=False):
            return self.layer.weight_gradient(x, dy, rows)

    def _factor(self) -> float:
        """What clipping or unscaling multiplied this step's gradient with, read off the existing weights."""
        gradient = self.layer.values.grad
        if gradient is None or self._raw_norm is None or self._raw_norm == 0:
            return 1.0
        factor = float(gradient.norm() / self._raw_norm)
        return 1.0 if abs(factor - 1) < 1e-4 else factor


def refuse_zeroed(scouts: Iterable[Scout]) -> None:
    """See that the gradients are still there; a single layer's may have been zeroed on purpose, to freeze it.

    Raises:
        UsageError: those of all layers that had any are zero, as after `zero_grad(set_to_none=False)`.
    """
    felt = [scout for scout in scouts if scout.felt]
    if felt and all(scout.zero_now for scout in felt):
        raise UsageError(
            "the gradients of all sparse layers are zero now, though backward left others, so nothing says where to "
            "grow weights; call step() after optimizer.step() and before optimizer.zero_grad()"
        )


def normalised(first: Tensor, second: Tensor) -> Tensor:
    """Adam's direction, m / (sqrt(v) + 1e-8)."""
    return first / second.sqrt().add_(EPSILON)
