"""RigL: drop the smallest weights, grow where the gradient is largest.

Evci, Gale, Menick, Castro, Elsen 2020, "Rigging the Lottery: Making All Tickets Winners", arXiv 1911.11134, section 3
and algorithm 1; delta T, alpha and T_end ("roughly 3/4 of the full training") are those of section 4. Differs from the
paper in:

1. The training step of a rewiring is not skipped: its dense gradient is taken beside it (paper: instead of it).
2. Every layer is sparse; with the budget "uniform" the paper keeps the first one dense (`keep_dense` does).
3. A weight that is dropped and grown at once starts at zero and keeps its momentum; in their code it keeps its value
   too. Others start at zero and at rest, as there.

Training FLOP on ResNet-50 are the published ones but for one: with the uniform budget at 10 % density figure 2 has
0.10, which the paper's own rule contradicts; the authors' repository has 0.13, as we do (`test_published_flop.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import nn
from torch.optim import Optimizer

from tithe.methods.scouting import GRADIENT, Scouting
from tithe.methods.view import LayerView
from tithe.rewire import LayerPlan
from tithe.scores import strongest, weakest
from tithe.scout import Average


class RigL(Scouting):
    """Rewires a sparsified model by the gradient of one step (Evci et al. 2020, arXiv 1911.11134); see `plan`.

    Args:
        model: holds the sparse layers; all of them take part.
        optimizer: holds their values.
        every: steps from one rewiring to the next, their delta T; only the last of them takes a dense gradient.
        total_steps: steps of the whole training.
        rate: fraction of each layer's weights to drop at first, their alpha.
        schedule: "cosine-to-zero" (the paper's), "cosine", "linear" or "constant".
        stop: fraction of the training after which the topology stays, their T_end.

    Raises:
        UsageError: an argument out of range, a model without sparse layers, an optimizer that does not hold them.

    >>> import torch, tithe
    >>> model = tithe.sparsify(torch.nn.Sequential(torch.nn.Linear(64, 10)), density=0.1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> rewire = tithe.RigL(model, optimizer, total_steps=4000)
    >>> rewire.every, rewire.last_step
    (100, 3000)
    """

    heals = True

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        total_steps: int,
        every: int = 100,
        rate: float = 0.3,
        schedule: str = "cosine-to-zero",
        stop: float = 0.75,
    ) -> None:
        super().__init__(
            model, optimizer, every=every, total_steps=total_steps, rate=rate, schedule=schedule, stop=stop
        )
        self._start(scout_steps=1)

    def _plans(self, rate: float) -> dict[str, LayerPlan]:
        return plan({name: self._view(name) for name in self.layers}, rate)

    def _average(self, name: str) -> Average:
        return GRADIENT


def plan(views: Mapping[str, LayerView], rate: float) -> dict[str, LayerPlan]:
    """Each layer drops `rate` of its weights, the smallest, and grows as many where |gradient| is largest. Pure."""
    plans = {}
    for name, view in views.items():
        drop = weakest(view.values, round(rate * view.topology.nnz))
        plans[name] = LayerPlan(drop, strongest(partial(view.scores, drop), int(drop.sum())))
    return plans
