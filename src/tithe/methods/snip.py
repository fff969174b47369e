"""SNIP: before training, keep the weights whose removal would change the loss most.

Lee, Ajanthan, Torr 2019, "SNIP: Single-shot Network Pruning based on Connection Sensitivity", arXiv 1810.02340,
section 4 and algorithm 1 (numbers unchecked; the score and one batch as in github.com/namhoonlee/snip-public). Differs
from the paper in:

1. Weights start as the model has drawn them; the paper asks for variance scaling, which torch's layers nearly have.
2. A layer keeps at least one weight.
3. Biases stay; their code prunes them with the weights.
4. The batch is seen in the mode that the model is in; in their code as in evaluation, without dropout.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from tithe.methods.saliency import AtStart


class SNIP(AtStart):
    """Prunes by |gradient * weight| on one batch before training (Lee et al. 2019, arXiv 1810.02340).

    Call `prepare(loss)` once before the first step.

    Args:
        model: sparsified at density 1, so that there is something to choose from.
        optimizer: holds its values.
        density: fraction of the weights that will exist.

    Raises:
        UsageError: a density out of range, a model without sparse layers or with nothing to prune.

    >>> import torch, tithe
    >>> model = tithe.sparsify(torch.nn.Sequential(torch.nn.Linear(64, 10)), density=1.0, kernel="by-density")
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> method = tithe.SNIP(model, optimizer, density=0.1)
    >>> x, y = torch.randn(32, 64), torch.randint(10, (32,))
    >>> method.prepare(lambda: torch.nn.functional.cross_entropy(model(x), y))
    >>> model[0].nnz
    64
    """

    def _scores(self, loss: Callable[[], Tensor]) -> dict[str, Tensor]:
        gradients = self._gradients(loss())
        return {
            name: (gradient * layer.values.detach()).abs()
            for (name, layer), gradient in zip(self.layers.items(), gradients, strict=True)
        }
