"""SET: drop the smallest weights, grow anywhere.

Mocanu et al. 2018, "Scalable training of artificial neural networks with adaptive sparse connectivity inspired by
network science", Nature Communications 9:2383, arXiv 1707.04780, Methods, algorithm 1 (place unchecked); zeta and
one rewiring an epoch as in their public code (github.com/dcmocanu/sparse-evolutionary-artificial-neural-networks).
Differs from the paper in:

1. A grown weight starts at zero, as in their Keras code, so a rewiring never worsens what was learnt; their code with
   sparse matrices draws it at random.
2. The training ends with the last topology, as in their code with sparse matrices; their Keras code rewires once more.
3. The budget of a convolution is RigL's (ERK), which is the paper's (Erdos-Renyi) for linear layers.
4. The output layer is sparse too; their Keras code keeps it dense (`keep_dense` does).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tithe.methods.base import dice
from tithe.methods.driver import Periodic
from tithe.methods.growth import grown_at_random
from tithe.nn.layer import SparseLayer
from tithe.rewire import LayerPlan
from tithe.scores import smallest


class SET(Periodic):
    """Rewires a sparsified model by magnitude and chance (Mocanu et al. 2018, arXiv 1707.04780); see `plan`.

    Args:
        model: holds the sparse layers; all of them take part.
        optimizer: holds their values.
        every: steps from one rewiring to the next; the paper takes one epoch.
        total_steps: steps of the whole training; the last rewiring comes before.
        rate: fraction of the positive and of the negative weights to drop, their zeta.
        schedule: "constant" (the paper's), "cosine" or "linear".
        seed: decides where weights grow.

    Raises:
        UsageError: an argument out of range, a model without sparse layers, an optimizer that does not hold them.

    >>> import torch, tithe
    >>> model = tithe.sparsify(torch.nn.Sequential(torch.nn.Linear(64, 10)), density=0.1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> rewire = tithe.SET(model, optimizer, every=450, total_steps=4500)
    >>> rewire.settled
    False
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        every: int,
        total_steps: int,
        rate: float = 0.3,
        schedule: str = "constant",
        seed: int = 0,
    ) -> None:
        super().__init__(model, optimizer, every=every, total_steps=total_steps, rate=rate, schedule=schedule)
        self.seed = seed

    def _plans(self, rate: float) -> dict[str, LayerPlan]:
        return plan(self.layers, rate, self.seed, self.steps)


def plan(layers: Mapping[str, SparseLayer], rate: float, seed: int, step: int) -> dict[str, LayerPlan]:
    """Each layer drops the weights nearest to zero on either side, and grows as many anywhere. Pure."""
    return {name: _layer_plan(layer, rate, dice(seed, step, name)) for name, layer in layers.items()}


def _layer_plan(layer: SparseLayer, rate: float, generator: torch.Generator) -> LayerPlan:
    drop = nearest_to_zero(layer.values.detach(), rate)
    return grown_at_random(layer.topology, drop, int(drop.sum()), generator)


def nearest_to_zero(values: Tensor, rate: float) -> Tensor:
    """Bool [nnz]: True at the smallest `rate` of the positive and the largest `rate` of the negative values."""
    drop = torch.zeros_like(values, dtype=torch.bool)
    for side in (values >= 0, values < 0):
        drop[side] = smallest(values[side].abs(), round(rate * int(side.sum())))
    return drop
