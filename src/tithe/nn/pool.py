"""Pooling that keeps the batch innermost in memory.

Memory [C, H, W, N] is what torch calls channels_last for a tensor [C, N, H, W], and it has fast kernels for that: these
modules hand it such a view, and view the result back. Pooling does not look at the first two dimensions.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from tithe.ops import dispatch


class MaxPool2d(nn.MaxPool2d):
    """nn.MaxPool2d; x [N, C, H, W] -> [N, C, H', W'], batch-innermost in memory if x is."""

    def forward(self, input: Tensor) -> Any:  # noqa: A002  # torch's name
        """As nn.MaxPool2d; indices too, where they are asked for."""
        if not _is_innermost(input):
            return super().forward(input)
        pooled: Any = super().forward(input.transpose(0, 1))
        return tuple(t.transpose(0, 1) for t in pooled) if self.return_indices else pooled.transpose(0, 1)


class AvgPool2d(nn.AvgPool2d):
    """nn.AvgPool2d; x [N, C, H, W] -> [N, C, H', W'], batch-innermost in memory if x is."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        """As nn.AvgPool2d."""
        if not _is_innermost(input):
            return super().forward(input)
        return super().forward(input.transpose(0, 1)).transpose(0, 1)


class AdaptiveAvgPool2d(nn.AdaptiveAvgPool2d):
    """nn.AdaptiveAvgPool2d; x [N, C, H, W] -> [N, C, H', W'], batch-innermost in memory if x is."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        """As nn.AdaptiveAvgPool2d; an output of 1 x 1 is the mean of each image."""
        if not _is_innermost(input):
            return super().forward(input)
        if self.output_size in (1, (1, 1)):  # in the memory's own order, which autograd then keeps in the gradient
            return input.movedim(0, -1).mean((1, 2), keepdim=True).movedim(-1, 0)
        return super().forward(input.transpose(0, 1)).transpose(0, 1)


def _is_innermost(x: Tensor) -> bool:
    """Four dimensions, and N is innermost in memory."""
    return x.dim() == 4 and dispatch.is_innermost(x)
