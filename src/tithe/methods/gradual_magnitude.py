"""Gradual magnitude pruning: the smallest weights go, many at first, few at last.

Zhu & Gupta 2017, "To prune, or not to prune: exploring the efficacy of pruning for model compression",
arXiv 1710.01878, section 3 and equation 1 (numbers unchecked). Differs from the paper in:

1. A weight that is pruned is gone, with its place in memory; there it is masked and might come back.
2. From 50 % density down (`kernel="by-density"`) steps are sparse; there all of training is dense.
3. The paper leaves beginning, end and frequency of the pruning to the user; our choice is from the first step to the
   middle of the training, every 100 steps.
4. A layer keeps at least one weight.
"""

from __future__ import annotations

from torch import nn
from torch.optim import Optimizer

from tithe.errors import UsageError
from tithe.methods.base import check_steps
from tithe.methods.descent import Descent, pruned, sizes_of
from tithe.methods.driver import Driver
from tithe.rewire import LayerPlan
from tithe.schedule import cubic


class GradualMagnitude(Driver):
    """Prunes a dense model while it trains (Zhu & Gupta 2017, arXiv 1710.01878).

    Args:
        model: sparsified at density 1, so that there is something to prune.
        optimizer: holds its values.
        total_steps: steps of the whole training.
        density: fraction of the weights that exist at last.
        budget: what each layer keeps: "uniform" (the paper's), "erk", or "global", the largest weights of all layers.
        every: steps from one pruning to the next, their delta t.
        begin: fraction of the training before which nothing is pruned.
        end: fraction of the training after which the topology stays.

    Raises:
        UsageError: an argument out of range, a model without sparse layers or with nothing to prune.

    >>> import torch, tithe
    >>> model = tithe.sparsify(torch.nn.Sequential(torch.nn.Linear(64, 10)), density=1.0, kernel="by-density")
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> method = tithe.GradualMagnitude(model, optimizer, total_steps=4000, density=0.1)
    >>> method.every, method.end
    (100, 2000)
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        total_steps: int,
        density: float,
        budget: str = "uniform",
        every: int = 100,
        begin: float = 0.0,
        end: float = 0.5,
    ) -> None:
        check_steps(total_steps=total_steps, every=every)
        check_window(begin, end)
        super().__init__(model, optimizer)
        self.descent = Descent.of(self.layers, density, budget)
        self.every = every
        self.begin, self.end = round(begin * total_steps), max(round(end * total_steps), 1)

    @property
    def settled(self) -> bool:
        """Whether the pruning is done."""
        return self.steps >= self.end and not self._owes()

    def _is_due(self) -> bool:
        since = self.steps - self.begin
        on_time = since > 0 and self.steps <= self.end and (since % self.every == 0 or self.steps == self.end)
        return on_time or self._owes()

    def _plans(self, rate: float) -> dict[str, LayerPlan]:
        return pruned(self.descent.drop(sizes_of(self.layers), cubic(self.steps, self.begin, self.end)))


def check_window(begin: float, end: float) -> None:
    """Raise UsageError where these are no fractions of a training in this order."""
    if not 0 <= begin < end <= 1:
        raise UsageError(
            f"begin={begin!r} and end={end!r} were given; they are fractions of the training, 0 <= begin < end <= 1"
        )
