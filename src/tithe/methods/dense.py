"""Dense training: what everything else is compared with. Differs from the paper in nothing: there is none."""

from __future__ import annotations

from tithe.methods.base import Method


class Dense(Method):
    """Trains the model as it is.

    Args:
        model: any.
        optimizer: holds its parameters.

    >>> import torch, tithe
    >>> model = torch.nn.Sequential(torch.nn.Linear(64, 300), torch.nn.ReLU(), torch.nn.Linear(300, 10))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> method = tithe.Dense(model, optimizer)
    >>> method.settled
    True
    """
