"""GraNet: gradual pruning, and at each pruning some of what is left is exchanged, as RigL does.

Liu et al. 2021, "Sparse Training via Boosting Pruning Plasticity with Neuroregeneration", NeurIPS, arXiv 2106.10404,
section 4 and algorithm 1 (unchecked); constants as in their public code for CIFAR (github.com/VITA-Group/GraNet:
every 1000 steps, half exchanged at first and 0.5 % at last, pruned over 110 of 160 epochs). Differs from the paper in:

1. A weight that is pruned is gone with its place in memory, and steps are sparse from 50 % density down.
2. In the dense phase the dense gradient of an exchange is taken once more beside the step's own.
3. Pruning is done by the last rewiring where its end would come later, and a layer keeps at least one weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import Tensor, nn
from torch.optim import Optimizer

from tithe.errors import UsageError
from tithe.methods.base import check_steps
from tithe.methods.descent import Descent, pruned, sizes_of
from tithe.methods.gradual_magnitude import check_window
from tithe.methods.scouting import GRADIENT, Scouting
from tithe.methods.view import LayerView
from tithe.rewire import LayerPlan
from tithe.schedule import cubic
from tithe.scores import strongest, weakest
from tithe.scout import Average


class GraNet(Scouting):
    """Prunes a dense model while it trains and regrows by gradient (Liu et al. 2021, arXiv 2106.10404); see `plan`.

    Args:
        model: sparsified at density 1 (or, for their sparse-to-sparse form, at 0.5).
        optimizer: holds its values.
        total_steps: steps of the whole training; the last exchange comes before.
        density: fraction of the weights that exist at last.
        budget: what each layer keeps: "global" (the largest weights of all layers), "uniform" or "erk".
        every: steps from one pruning to the next.
        rate: fraction of what is left to exchange at first; falls with a cosine.
        begin: fraction of the training before which nothing is pruned.
        end: fraction of the training after which weights are only exchanged.

    Raises:
        UsageError: an argument out of range, a model without sparse layers or with nothing to prune.

    >>> import torch, tithe
    >>> model = tithe.sparsify(torch.nn.Sequential(torch.nn.Linear(64, 10)), density=1.0, kernel="by-density")
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> method = tithe.GraNet(model, optimizer, total_steps=8000, density=0.1)
    >>> method.every, method.end
    (1000, 5500)
    """

    heals = True

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        total_steps: int,
        density: float,
        budget: str = "global",
        every: int = 1000,
        rate: float = 0.5,
        begin: float = 0.0,
        end: float = 0.6875,  # epoch 110 of 160
    ) -> None:
        check_window(begin, end)
        check_steps(every=every, total_steps=total_steps)
        if every >= total_steps:
            raise UsageError(f"every={every} was given, so in {total_steps} steps nothing would be pruned; give less")
        super().__init__(model, optimizer, every=every, total_steps=total_steps, rate=rate, schedule="cosine")
        self.descent = Descent.of(self.layers, density, budget)
        # The last rewiring comes before the last step; pruning has to be done by then.
        last = (total_steps - 1) // every * every
        self.begin, self.end = round(begin * total_steps), min(round(end * total_steps), last)
        self._start(scout_steps=1)

    @property
    def settled(self) -> bool:
        """Whether the next rewiring would come too late, and the last one was done."""
        return super().settled and not self._owes()

    def _is_due(self) -> bool:
        return super()._is_due() or (super().settled and self._owes())

    def _plans(self, rate: float) -> dict[str, LayerPlan]:
        drop = self.descent.drop(sizes_of(self.layers), cubic(self.steps, self.begin, self.end))
        if not self.scouting:  # made up for, after the last exchange
            return pruned(drop)
        return plan({name: self._view(name) for name in self.layers}, drop, rate)

    def _average(self, name: str) -> Average:
        return GRADIENT


def plan(views: Mapping[str, LayerView], pruned: Mapping[str, Tensor], rate: float) -> dict[str, LayerPlan]:
    """Each layer loses `pruned` (bool [nnz]); of what is left it drops the smallest and grows as many by |gradient|.

    Pure.
    """
    plans = {}
    for name, view in views.items():
        drop = pruned[name].clone()
        left = (~drop).nonzero().reshape(-1)
        exchanged = left[weakest(view.values[left], round(rate * left.numel()))]
        drop[exchanged] = True
        plans[name] = LayerPlan(drop, strongest(partial(view.scores, drop), exchanged.numel()))
    return plans
