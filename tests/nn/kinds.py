"""One small linear layer and one small convolution, for tests that hold for both."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tithe import SparseConv2d, SparseLinear
from tithe.nn import SparseLayer

DENSE = {
    "linear": (lambda: nn.Linear(12, 9), SparseLinear, (4, 12)),
    "conv": (lambda: nn.Conv2d(3, 5, (3, 2), stride=2, padding=1), SparseConv2d, (4, 3, 7, 6)),
}
both = pytest.mark.parametrize("kind", DENSE)


def make(kind: str, density: float = 0.3, seed: int | None = None) -> SparseLayer:
    dense, sparse, _ = DENSE[kind]
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return sparse.from_dense(dense(), density=density, generator=generator)


def inputs_of(kind: str) -> Tensor:
    return torch.randn(DENSE[kind][2])
