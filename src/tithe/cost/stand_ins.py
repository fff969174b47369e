"""What stands in for code that reads numbers while a step is rehearsed: scouting, and what sparse layers hold."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from tithe.cost.live import Live
from tithe.nn import SparseConv2d
from tithe.nn.dense_gradient import COPIED, LEAST_LENGTH, takes
from tithe.nn.layer import SparseLayer
from tithe.ops import dispatch
from tithe.scout import Average, Scout


class FakeScout(Scout):
    """Scouts in shapes only. A dense gradient is made a few rows at a time, and a convolution's in pieces of those:
    here the first two and the first piece stand for all, and FLOP are those of the whole."""

    def __init__(self, layer: SparseLayer, average: Average, live: Live) -> None:
        super().__init__(layer, average)
        self._live = live

    def _factor(self) -> float:
        return 1.0

    def _tiles(self) -> Iterable[slice]:
        return itertools.islice(super()._tiles(), 2)  # while the second is made, the first is still there

    def _weight_gradient(self, x: Tensor, dy: Tensor, rows: slice) -> Tensor:
        before, layer = self._live.flop, self.layer
        if isinstance(layer, SparseConv2d) and layer.rows_are_separate and layer.dilation == (1, 1):
            gradient = _convolutions(layer, x, dy, rows)
        else:
            gradient = super()._weight_gradient(x, dy, rows)
        if layer.rows_are_separate:
            whole = 2 * math.prod(layer.matrix_shape) * (dy.numel() // dy.shape[1])
            self._live.flop = before + (whole if rows.start == 0 else 0)
        return gradient


def _convolutions(layer: SparseConv2d, x: Tensor, dy: Tensor, rows: slice) -> Tensor:
    """A convolution's dense gradient: what is alive while it is made."""
    gradient = layer.values.new_zeros(dy[:, rows].shape[1], layer.matrix_shape[1])
    if not takes(x, dy):  # torch's own, which brings both into a layout with channels in blocks of 16
        dy = dy[:, rows].contiguous()
        _copies = x.contiguous(), dy.new_empty(dy.numel() // dy.shape[1] * -(-dy.shape[1] // 16) * 16)
        return gradient
    top, left = layer._padding
    _image = nn.functional.pad(x.movedim(0, -1), (0, 0, left, left, top, top))
    columns, positions = gradient.shape[1], dy.numel() // dy.shape[1]
    length = min(max(COPIED // columns, LEAST_LENGTH), positions)  # of a piece
    _piece = x.new_empty(length * gradient.shape[0]), x.new_empty(length * columns)
    return gradient


def as_really_computed(layer: SparseLayer, kernels: bool) -> None:
    """Let the layer hold what the kernels hold, or the reference, neither of which runs on fake tensors."""
    plain, hold = type(layer).sparse_forward, _Innermost if kernels else _DenseWeight
    layer.sparse_forward = lambda x: plain(layer, hold.apply(x, layer.matrix_shape))  # type: ignore[method-assign]


class _Innermost(torch.autograd.Function):
    """x with the batch innermost in memory; keeps for the backward pass the x it was given too, as the kernels do."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shape: tuple[int, int]) -> Tensor:  # type: ignore[override]
        ctx.moved = not dispatch.is_innermost(x)
        if not ctx.moved:
            return x.view_as(x)
        ctx.save_for_backward(x)
        return dispatch.batch_first(dispatch.batch_innermost(x))

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return dy.contiguous() if ctx.moved else dy, None


class _DenseWeight(torch.autograd.Function):
    """x itself; makes a dense weight for a moment, and in the backward pass its gradient too, as the reference does."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shape: tuple[int, int]) -> Tensor:  # type: ignore[override]
        ctx.shape = shape
        _weight = x.new_empty(shape)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        _weight, _gradient = dy.new_empty(ctx.shape), dy.new_empty(ctx.shape)
        return dy, None
