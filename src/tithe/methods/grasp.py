"""GraSP: before training, keep the weights whose removal would weaken the gradient's flow most.

Wang, Zhang, Grosse 2020, "Picking Winning Tickets Before Training by Preserving Gradient Flow", arXiv 2002.07376,
section 4 and algorithm 1 (numbers unchecked); the temperature as in their public code (github.com/alecwangcq/GraSP).
Differs from the paper in:

1. One batch of training's own size; their code takes ten examples of each class (CIFAR-10), in two halves: the
   gradient of both goes through the Hessian of each.
2. A layer keeps at least one weight.
3. Linear layers are scored with the weights that they will have; their code draws others for the scoring.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tithe.methods.saliency import AtStart


class GraSP(AtStart):
    """Prunes by weight * (Hessian gradient) on one batch before training (Wang et al. 2020, arXiv 2002.07376).

    Call `prepare(loss)` once before the first step, with the scores divided by `temperature`.

    Args:
        model: sparsified at density 1, so that there is something to choose from.
        optimizer: holds its values.
        density: fraction of the weights that will exist.

    Raises:
        UsageError: a density out of range, a model without sparse layers or with nothing to prune.

    >>> import torch, tithe
    >>> model = tithe.sparsify(torch.nn.Sequential(torch.nn.Linear(64, 10)), density=1.0, kernel="by-density")
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> method = tithe.GraSP(model, optimizer, density=0.1)
    >>> x, y = torch.randn(32, 64), torch.randint(10, (32,))
    >>> method.prepare(lambda: torch.nn.functional.cross_entropy(model(x) / method.temperature, y))
    >>> model[0].nnz
    64
    """

    temperature = 200.0
    gradients = 2  # g and H g

    def _scores(self, loss: Callable[[], Tensor]) -> dict[str, Tensor]:
        """Theta * Hg: removing weight q changes |g|^2 by about -2 theta_q (Hg)_q, so the highest stay."""
        gradients = self._gradients(loss(), differentiable=True)
        # H g is the gradient of g . (g, held constant).
        product = sum(((g.detach() * g).sum() for g in gradients), torch.zeros(()))
        return {
            name: layer.values.detach() * flow
            for (name, layer), flow in zip(self.layers.items(), self._gradients(product), strict=True)
        }
