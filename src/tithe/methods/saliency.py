"""Pruning before the first step: what SNIP and GraSP share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tithe.errors import UsageError
from tithe.methods.base import check_loss, unremembered
from tithe.methods.descent import GLOBAL, Descent, pruned
from tithe.methods.driver import Driver


class AtStart(Driver):
    """Base of the methods that keep the weights with the highest score on one batch, and then the topology.

    `gradients` is how many as large as the dense weights are alive at once.

    Args:
        model: sparsified at density 1, so that there is something to choose from.
        optimizer: holds its values.
        density: fraction of the weights that will exist.

    Raises:
        UsageError: a density out of range, a model without sparse layers or with nothing to prune.
    """

    gradients: ClassVar[int] = 1

    def __init__(self, model: nn.Module, optimizer: Optimizer, *, density: float) -> None:
        super().__init__(model, optimizer)
        self.descent = Descent.of(self.layers, density, GLOBAL)

    @property
    def settled(self) -> bool:
        """Once it has pruned."""
        return bool(self.history)

    @property
    def needs_loss(self) -> bool:
        """Until it has pruned."""
        return not self.history

    def prepare(self, loss: Callable[[], Tensor]) -> None:
        """Prune by the scores on one batch.

        Args:
            loss: runs the model on the batch, divides its scores by `temperature` and answers with the loss.

        Raises:
            UsageError: `loss` is no function, or the scores are not finite.
        """
        check_loss(loss)
        if self.history:
            return
        with unremembered(self._buffers()):
            scores = self._scores(loss)
        broken = [name for name, score in scores.items() if not bool(torch.isfinite(score).all())]
        if broken:
            raise UsageError(
                f"the gradient of layer {broken[0]!r} on the first batch is not finite; look at the data and the "
                "initial weights"
            )
        self.history.append(self._apply(pruned(self.descent.drop(scores, 1.0)), 1 - self.descent.kept))

    def prepare_bytes(self) -> int:
        """Bytes of the dense gradients that `prepare` holds."""
        return self.gradients * sum(layer.values.nbytes for layer in self.layers.values())

    @abstractmethod
    def _scores(self, loss: Callable[[], Tensor]) -> dict[str, Tensor]:
        """[nnz] for each layer: the weights with the highest stay."""

    def _gradients(self, loss: Tensor, differentiable: bool = False) -> tuple[Tensor, ...]:
        """Of the layers' values; zero where the loss does not depend on a layer."""
        values = [layer.values for layer in self.layers.values()]
        return torch.autograd.grad(loss, values, create_graph=differentiable, allow_unused=True, materialize_grads=True)
