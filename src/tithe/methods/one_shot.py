"""Train, prune, fine-tune: what most people do who want a small network.

Han, Pool, Tran, Dally 2015, "Learning both Weights and Connections for Efficient Neural Networks", arXiv 1506.02626,
section 3. Differs from the paper in:

1. Weights are pruned to an exact density, not below a multiple of each layer's standard deviation (section 4).
2. All layers are pruned at once and once; the paper retrains convolutions and linear layers in turn (3.3) and may go
   on pruning and retraining (3.4).
3. Fine-tuning repeats the second half of the learning rate's schedule (Renda, Frankle, Carbin 2020, arXiv 2003.02389,
   "learning rate rewinding"); the paper takes a tenth of the learning rate for LeNet, a hundredth for AlexNet
   (4.1, 4.2).
4. Dropout stays as it is; the paper lowers it after pruning (3.2).
5. Half of the steps are for fine-tuning, our choice; the paper trains to the end first.
"""

from __future__ import annotations

import math

from torch import nn
from torch.optim import Optimizer

from tithe.errors import UsageError
from tithe.methods.base import check_steps
from tithe.methods.descent import Descent, pruned, sizes_of
from tithe.methods.driver import Driver
from tithe.rewire import LayerPlan


class OneShot(Driver):
    """Trains a dense model, prunes its smallest weights, goes on with the rest (Han et al. 2015, arXiv 1506.02626).

    Args:
        model: sparsified at density 1, so that there is something to prune.
        optimizer: holds its values.
        total_steps: steps of the whole training, fine-tuning included.
        density: fraction of the weights that exist at last.
        budget: what each layer keeps: "global" (the largest weights of all layers), "uniform" or "erk".
        prune_at: fraction of the training after which to prune.

    Raises:
        UsageError: an argument out of range, a model without sparse layers or with nothing to prune.

    >>> import torch, tithe
    >>> model = tithe.sparsify(torch.nn.Sequential(torch.nn.Linear(64, 10)), density=1.0, kernel="by-density")
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> method = tithe.OneShot(model, optimizer, total_steps=4000, density=0.1)
    >>> method.prune_step, method.schedule_step(2000), method.schedule_step(2001)
    (2000, 4000, 2001)
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        total_steps: int,
        density: float,
        budget: str = "global",
        prune_at: float = 0.5,
    ) -> None:
        check_steps(total_steps=total_steps)
        super().__init__(model, optimizer)
        self.descent = Descent.of(self.layers, density, budget)
        self.total_steps, self.prune_step = total_steps, step_at(prune_at, total_steps)

    @property
    def settled(self) -> bool:
        """Whether the pruning is done."""
        return bool(self.history) and not self._owes()

    def schedule_step(self, step: int) -> int:
        """The whole schedule until the pruning, its second half after it."""
        return repeated_half(step, self.prune_step, self.total_steps)

    def _is_due(self) -> bool:
        return self.steps == self.prune_step or self._owes()

    def _plans(self, rate: float) -> dict[str, LayerPlan]:
        return pruned(self.descent.drop(sizes_of(self.layers), 1.0))


def step_at(fraction: float, total_steps: int) -> int:
    """The step that ends this fraction of the training; at least the first, at most the last but one.

    Raises:
        UsageError: the fraction is not between 0 and 1, or there is no step before or after it.
    """
    if not 0 < fraction < 1 or total_steps < 2:
        raise UsageError(
            f"prune_at={fraction!r} of {total_steps} steps was given; it is a fraction between 0 and 1, e.g. 0.5, of "
            "at least 2 steps"
        )
    return min(max(round(fraction * total_steps), 1), total_steps - 1)


def repeated_half(step: int, prune_step: int, total_steps: int) -> int:
    """Where in the schedule `step` is if all of it runs until `prune_step`, and its second half again after it."""
    if step <= prune_step:
        return min(math.ceil(step * total_steps / prune_step), total_steps)
    half = total_steps / 2
    return min(math.ceil(half + (step - prune_step) * half / (total_steps - prune_step)), total_steps)
