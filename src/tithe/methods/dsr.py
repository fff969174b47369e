"""DSR: drop below one threshold for all layers, grow anywhere, most in the layers that have most left.

Mostafa & Wang 2019, "Parameter efficient training of deep convolutional neural networks by dynamic sparse
reparameterization", ICML, arXiv 1902.05967, section 3 and algorithm 1; H and delta as in their public code. Differs
from the paper in:

1. How many weights a rewiring should move is a fraction of all, not a number that is given for each network.
2. All layers take part; the paper keeps the first convolution and small layers dense (`keep_dense` does).
3. A layer keeps at least one weight, and what a full layer cannot take goes to the others by their shares.
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
        threshold: at first; weights below it in size are dropped. Their H.
        tolerance: how far what was dropped may be from `rate` before the threshold is doubled or halved. Their delta.
        seed: decides where weights grow.

    Raises:
        UsageError: an argument out of range, a model without sparse layers, an optimizer that does not hold them.
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
    """Doubled where too few weights were dropped, halved where too many (algorithm 1, lines 5 to 9)."""
    if dropped < (1 - tolerance) * wanted:
        return 2 * threshold
    return threshold / 2 if dropped > (1 + tolerance) * wanted else threshold


def _below(values: Tensor, threshold: float) -> Tensor:
    """Bool [nnz]: True at |value| < threshold, but not at the largest of all."""
    drop = values.abs() < threshold
    drop[torch.argmax(values.abs())] = False
    return drop
