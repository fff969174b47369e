"""L1: a penalty pulls all weights to zero while the network is dense; then the smallest are pruned.

Han, Pool, Tran, Dally 2015, arXiv 1506.02626, section 3.1 ("L1 regularization ... gives better accuracy after pruning,
but before retraining"). Differs from the paper in what `tithe.methods.one_shot` says, and in:

1. The penalty is applied as soft thresholding after each step, so weights become exactly zero.
2. The paper gives no strength. Unless one is given it is such that the penalty is a given share of the first batch's
   loss and penalty together, as Lym et al. 2019 (PruneTrain, arXiv 1901.09290) choose theirs in their public code.
3. Fine-tuning is without penalty.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from tithe.methods.one_shot import OneShot
from tithe.methods.penalty import Penalised, check_penalty, step_length
from tithe.rewire import group_of


class L1(Penalised, OneShot):
    """Trains a dense model with an L1 penalty, prunes, goes on with the rest (Han et al. 2015, arXiv 1506.02626).

    Args:
        model: sparsified at density 1, so that there is something to prune.
        optimizer: holds its values; the penalty's steps are as long as its own.
        total_steps: steps of the whole training, fine-tuning included.
        density: fraction of the weights that exist at last.
        budget: what each layer keeps: "global" (the largest weights of all layers), "uniform" or "erk".
        prune_at: fraction of the training after which to prune.
        strength: what the sum of all |weight| is multiplied with; None: by `share`, and `prepare(loss)` must be called.
        share: of the first batch's loss and penalty together, that of the penalty.

    Raises:
        UsageError: an argument out of range, a model without sparse layers or with nothing to prune.

    >>> import torch, tithe
    >>> model = tithe.sparsify(torch.nn.Sequential(torch.nn.Linear(64, 10)), density=1.0, kernel="by-density")
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> method = tithe.L1(model, optimizer, total_steps=4000, density=0.1)
    >>> x, y = torch.randn(32, 64), torch.randint(10, (32,))
    >>> method.prepare(lambda: torch.nn.functional.cross_entropy(model(x), y))
    >>> method.needs_loss
    False
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
        strength: float | None = None,
        share: float = 0.2,
    ) -> None:
        check_penalty(strength, share)
        super().__init__(model, optimizer, total_steps=total_steps, density=density, budget=budget, prune_at=prune_at)
        self._penalise(strength, share)

    def _penalty(self) -> float:
        return sum(float(layer.values.detach().abs().sum()) for layer in self.layers.values())

    @torch.no_grad()
    def _after_optimizer(self, finite: bool) -> None:
        if self.steps > self.prune_step or self.strength is None:
            return
        for layer in self.layers.values():
            shrink = self.strength * step_length(self.optimizer, group_of(self.optimizer, layer.values))
            values = layer.values
            values.copy_(values.sign() * (values.abs() - shrink).clamp_(min=0))
