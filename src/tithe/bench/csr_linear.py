"""A linear layer on torch's own sparse matrices, as well as a user can build it.

y^T = W x^T and dx^T = W^T dy^T are products of a CSR matrix and a dense one; dW is torch.sparse.sampled_addmm, which
computes the existing weights only. The transposed structure is made once; values follow through a permutation.
"""

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class CsrLinear(nn.Module):
    """y = x W^T + b; x [batch, in], y [batch, out]."""

    def __init__(self, layer: nn.Linear, mask: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(layer.weight.detach()[mask])  # [nnz], row by row
        self.bias = nn.Parameter(layer.bias.detach().clone()) if layer.bias is not None else None
        places = torch.arange(int(mask.sum()))
        order = torch.zeros(mask.shape, dtype=torch.int64).masked_scatter_(mask, places)
        self._shape = tuple(mask.shape)
        self._rows, self._columns = _structure(mask)
        self._t_rows, self._t_columns = _structure(mask.t())
        self._permutation = order.t()[mask.t()]  # [nnz]: where the transpose's values are

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, batch-innermost in memory, as the product leaves it."""
        y: Tensor = _Product.apply(x, self.values, self)  # type: ignore[assignment]
        return y if self.bias is None else y + self.bias

    def matrix(self, values: Tensor) -> Tensor:
        """W [out, in] with these values."""
        return _csr(self._rows, self._columns, values, self._shape)

    def transpose(self, values: Tensor) -> Tensor:
        """W^T [in, out]."""
        return _csr(self._t_rows, self._t_columns, values[self._permutation], self._shape[::-1])


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor, layer: CsrLinear) -> Tensor:
        ctx.save_for_backward(x, values)
        ctx.layer = layer
        return (layer.matrix(values) @ x.t()).t()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, values = ctx.saved_tensors
        dy = gradients[0]
        dx = (ctx.layer.transpose(values) @ dy.t()).t() if ctx.needs_input_grad[0] else None
        pattern = ctx.layer.matrix(torch.zeros_like(values))
        dw = torch.sparse.sampled_addmm(pattern, dy.t().contiguous(), x.contiguous(), beta=0.0)
        return dx, dw.values(), None


def convert(layer: nn.Linear | nn.Conv2d, mask: Tensor) -> nn.Module:
    """The masked layer as a CsrLinear."""
    assert isinstance(layer, nn.Linear)
    return CsrLinear(layer, mask)


def gradient(module: nn.Module) -> Tensor:
    """Of the values, [nnz]."""
    assert isinstance(module, CsrLinear)
    assert module.values.grad is not None
    return module.values.grad


def _structure(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Row pointers and columns of the existing weights."""
    counts = mask.sum(1)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)]), mask.nonzero()[:, 1]


def _csr(rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, ...]) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse")  # "in beta state"; "invariant checks are disabled"
        return torch.sparse_csr_tensor(rows, columns, values, shape, check_invariants=False)
