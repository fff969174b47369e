"""Static sparse training: a random topology that stays.

The baseline of every paper on sparse training, e.g. Evci et al. 2020 (arXiv 1911.11134), section 4, "Static". The
topology is drawn by `tithe.sparsify`, with its budget "erk" (their section 3) or "uniform".

Differs from the paper in: 1. With "uniform" the first layer is sparse too, unless `keep_dense` names it. 2. A weight
starts in proportion to the fan-in that its neuron really has.
"""

from __future__ import annotations

from tithe.methods.driver import Driver


class Static(Driver):
    """Trains a sparsified model on the topology it has (Evci et al. 2020, section 4, "Static").

    Args:
        model: holds the sparse layers.
        optimizer: holds their values.

    Raises:
        UsageError: a model without sparse layers, or an optimizer that does not hold them.

    >>> import torch, tithe
    >>> model = tithe.sparsify(torch.nn.Sequential(torch.nn.Linear(64, 10)), density=0.1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> method = tithe.Static(model, optimizer)
    >>> method.settled
    True
    """
