"""DSR: drop below one threshold for all layers, grow anywhere, most in the layers that have most left.

Mostafa & Wang 2019, "Parameter efficient training of deep convolutional neural networks by dynamic sparse
reparameterization", ICML, arXiv 1902.05967, section 3 and algorithm 1 (numbers unchecked). H and delta are those of the
authors' code, as kept in github.com/TimDettmers/sparse_learning, imagenet/dynamic-reparameterization/main.py: H begins
at 0.001; it is halved above 1.1 times the wanted number and doubled below 0.9 times. Differs from the paper in:

1. How many weights a rewiring should move is a fraction of all; theirs is a number for each network (600 for
   LeNet-300-100, 22 % of its weights at 1 % density; 20,000 for WRN-28-2, between 3 and 14 %). The default of 10 % is
   our choice.
2. Rewirings are equally far apart until the end; theirs grow rarer and stop before it (every 100 steps at first, every
   800 at last, none in the last 10 of 200 epochs of WRN-28-2).
3. All layers take part; their code keeps some dense, e.g. WRN-28-2's last (`keep_dense` does).
4. A weight may grow where one has just been dropped; theirs does not.
5. The one weight that a layer keeps at least is its largest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tithe.budget import apportion
from tithe.errors import UsageError
from tithe.methods.base import dice
from tithe.methods.driver import Periodic
from tithe.methods.growth import grown_at_random
from tithe.nn.layer import SparseLayer
from tithe.rewire import LayerPlan


class DSR(Periodic):
    """Rewires a sparsified model by one threshold and chance (Mostafa & Wang 2019, arXiv 1902.05967); see `plan`.

    Args:
        model: holds the sparse layers; all of them take part.
        optimizer: holds their values.
        every: steps from one rewiring to the next.
        total_steps: steps of the whole training; the last rewiring comes before.
        rate: the fraction of all weights that a rewiring should move; the threshold follows it.
        threshold: at first, their H; weights below it in size are dropped.
        tolerance: how far what was dropped may be from `rate` before the threshold is doubled or halved. Their delta.
        seed: decides where weights grow.

    Raises:
        UsageError: an argument out of range, a model without sparse layers, an optimizer that does not hold them.

    >>> import torch, tithe
    >>> model = tithe.sparsify(torch.nn.Sequential(torch.nn.Linear(64, 10)), density=0.1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> rewire = tithe.DSR(model, optimizer, every=450, total_steps=4500)
    >>> rewire.threshold
    0.001
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        every: int,
        total_steps: int,
        rate: float = 0.1,
        threshold: float = 1e-3,
        tolerance: float = 0.1,
        seed: int = 0,
    ) -> None:
        if not 0 < threshold < math.inf or not 0 <= tolerance < math.inf:
            raise UsageError(
                f"threshold={threshold!r} and tolerance={tolerance!r} were given; a threshold is above 0, e.g. 0.001, "
                "a tolerance at least 0, e.g. 0.1"
            )
        super().__init__(model, optimizer, every=every, total_steps=total_steps, rate=rate)
        self.threshold, self.tolerance, self.seed = threshold, tolerance, seed

    def state_dict(self) -> dict[str, Any]:
        """Steps, history and the threshold."""
        return super().state_dict() | {"threshold": self.threshold}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was saved; load the model's and the optimizer's state first."""
        super().load_state_dict(state)
        self.threshold = state["threshold"]

    def _plans(self, rate: float) -> dict[str, LayerPlan]:
        plans = plan(self.layers, self.threshold, self.seed, self.steps)
        dropped = sum(int(p.drop.sum()) for p in plans.values())
        wanted = rate * sum(layer.nnz for layer in self.layers.values())
        self.threshold = adapted(self.threshold, dropped, wanted, self.tolerance)
        return plans


def plan(layers: Mapping[str, SparseLayer], threshold: float, seed: int, step: int) -> dict[str, LayerPlan]:
    """Drop what is smaller than `threshold`; layers grow in proportion to what they have left, anywhere. Pure."""
    drop = {name: _below(layer.values.detach(), threshold) for name, layer in layers.items()}
    left = {name: layer.nnz - int(drop[name].sum()) for name, layer in layers.items()}
    total = sum(layer.nnz for layer in layers.values()) - sum(left.values())
    free = [math.prod(layer.matrix_shape) - left[name] for name, layer in layers.items()]
    grown = apportion(total, list(map(float, left.values())), [0] * len(layers), free)
    return {
        name: grown_at_random(layer.topology, drop[name], count, dice(seed, step, name))
        for (name, layer), count in zip(layers.items(), grown, strict=True)
    }


def adapted(threshold: float, dropped: int, wanted: float, tolerance: float) -> float:
    """Doubled where too few weights were dropped, halved where too many."""
    if dropped < (1 - tolerance) * wanted:
        return 2 * threshold
    return threshold / 2 if dropped > (1 + tolerance) * wanted else threshold


def _below(values: Tensor, threshold: float) -> Tensor:
    """Bool [nnz]: True at |value| < threshold, but not at the largest of all."""
    drop = values.abs() < threshold
    drop[torch.argmax(values.abs())] = False
    return drop
