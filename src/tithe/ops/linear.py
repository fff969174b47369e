r"""Sparse linear: y = x W^T, where W [out, in] has nnz weights.

The three operators are the three partial derivatives of one trilinear form,

    T(x, v, g) = sum_n sum_p  g[n, row_p]  v_p  x[n, col_p],

so each one's gradient is made of the other two, to any order. Each does 2 * nnz * N floating-point operations. A fourth
makes both gradients at once, which reads dy once for both.

Activations x and dy may be stored in bfloat16 beside float32 values: y and dx come out in bfloat16 too, rounded once
from a float32 sum; dvalues come out in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from tithe.ops import dispatch

_LINEAR = dispatch.define("linear", "Tensor x, Tensor values, Tensor topology, SymInt out_features")
_DX = dispatch.define("linear_dx", "Tensor dy, Tensor values, Tensor topology, SymInt in_features")
_DW = dispatch.define("linear_dw", "Tensor dy, Tensor x, Tensor topology, SymInt nnz")
_GRADIENTS = dispatch.define(
    "linear_gradients", "Tensor dy, Tensor x, Tensor values, Tensor topology", "(Tensor, Tensor)"
)
_FORWARD_KERNEL, _DX_KERNEL, _DW_KERNEL = map(dispatch.kernels, ("linear_forward", "linear_dx", "linear_dw"))
_GRADIENTS_KERNEL = dispatch.kernels("linear_gradients")


def linear(x: Tensor, values: Tensor, topology: Tensor, out_features: int, bias: Tensor | None = None) -> Tensor:
    """y [N, out] from x [N, in], values [nnz], a packed topology and bias [out]."""
    if dispatch.direct_stored(x, values, bias):
        return _Direct.apply(x, values, bias, topology, out_features)  # type: ignore[no-any-return]
    y = torch.ops.tithe.linear(x, values, topology, out_features)
    return y if bias is None else (y + bias).to(y.dtype)


def linear_dx(dy: Tensor, values: Tensor, topology: Tensor, in_features: int) -> Tensor:
    """Gradient [N, in] with respect to x, from dy [N, out]."""
    return torch.ops.tithe.linear_dx(dy, values, topology, in_features)


def linear_dw(dy: Tensor, x: Tensor, topology: Tensor, nnz: int) -> Tensor:
    """Gradient [nnz] with respect to the values, from dy [N, out] and x [N, in]; nothing dense is made."""
    return torch.ops.tithe.linear_dw(dy, x, topology, nnz)


def linear_gradients(dy: Tensor, x: Tensor, values: Tensor, topology: Tensor) -> tuple[Tensor, Tensor]:
    """Both gradients, as `linear_dx` and `linear_dw` give them but for rounding."""
    return torch.ops.tithe.linear_gradients(dy, x, values, topology)


# Reference: any device, any floating dtype.


@dispatch.without_autocast
def _linear_reference(x: Tensor, values: Tensor, topology: Tensor, out_features: int) -> Tensor:
    if dispatch.is_mixed(x, values):
        return dispatch.widened(_linear_reference, x, values, topology, out_features).to(x.dtype)
    dispatch.check(topology, out_features, x.shape[1], values.shape[0])
    weight = dispatch.dense_weight(values, topology, out_features, x.shape[1])
    return dispatch.restride(x @ weight.t())


@dispatch.without_autocast
def _dx_reference(dy: Tensor, values: Tensor, topology: Tensor, in_features: int) -> Tensor:
    if dispatch.is_mixed(dy, values):
        return dispatch.widened(_dx_reference, dy, values, topology, in_features).to(dy.dtype)
    dispatch.check(topology, dy.shape[1], in_features, values.shape[0])
    weight = dispatch.dense_weight(values, topology, dy.shape[1], in_features)
    return dispatch.restride(dy @ weight)


@dispatch.without_autocast
def _dw_reference(dy: Tensor, x: Tensor, topology: Tensor, nnz: int) -> Tensor:
    if dispatch.are_bfloat16(dy, x):
        return dispatch.widened(_dw_reference, dy, x, topology, nnz)
    rows, cols = dy.shape[1], x.shape[1]
    dispatch.check(topology, rows, cols, nnz, (dy.shape[0], x.shape[0]))
    dense = dy.t() @ x
    return dense[dispatch.row_index(topology, rows, cols), dispatch.column_index(topology, rows, cols)]


def _gradients_reference(dy: Tensor, x: Tensor, values: Tensor, topology: Tensor) -> tuple[Tensor, Tensor]:
    dx = _dx_reference(dy, values, topology, x.shape[1])
    return dx, _dw_reference(dy, x, topology, values.shape[0])


# CPU: the kernels.


def _linear_cpu(x: Tensor, values: Tensor, topology: Tensor, out_features: int) -> Tensor:
    if not dispatch.has_stored_kernel(x, values=values):
        return _linear_reference(x, values, topology, out_features)
    return _forward(dispatch.innermost(x), values, None, topology, out_features)


def _dx_cpu(dy: Tensor, values: Tensor, topology: Tensor, in_features: int) -> Tensor:
    if not dispatch.has_stored_kernel(dy, values=values):
        return _dx_reference(dy, values, topology, in_features)
    return _dx(dispatch.innermost(dy), values, topology, in_features)


def _dw_cpu(dy: Tensor, x: Tensor, topology: Tensor, nnz: int) -> Tensor:
    if not dispatch.has_stored_kernel(dy, x):
        return _dw_reference(dy, x, topology, nnz)
    return _dw(dispatch.innermost(dy), dispatch.innermost(x), topology, nnz)


def _gradients_cpu(dy: Tensor, x: Tensor, values: Tensor, topology: Tensor) -> tuple[Tensor, Tensor]:
    if not dispatch.has_stored_kernel(dy, x, values=values):
        return _gradients_reference(dy, x, values, topology)
    return _gradients(dispatch.innermost(dy), dispatch.innermost(x), values, topology)


# These take tensors whose batch is innermost in memory.


def _forward(x: Tensor, values: Tensor, bias: Tensor | None, topology: Tensor, out_features: int) -> Tensor:
    (batch, cols), nnz = x.shape, values.shape[0]
    dispatch.check(topology, out_features, cols, nnz)
    values = values.contiguous()
    y = dispatch.empty_innermost((batch, out_features), x)
    indptr, indices, *_ = dispatch.addresses(topology, out_features, cols, nnz)
    _FORWARD_KERNEL[x.dtype](
        *(y.data_ptr(), x.data_ptr(), values.data_ptr(), 0 if bias is None else bias.contiguous().data_ptr()),
        *(indptr, indices, out_features, cols, batch, dispatch.threads(nnz, batch)),
    )
    return y


def _dx(dy: Tensor, values: Tensor, topology: Tensor, in_features: int) -> Tensor:
    (batch, rows), nnz = dy.shape, values.shape[0]
    dispatch.check(topology, rows, in_features, nnz)
    values = values.contiguous()
    dx = dispatch.empty_innermost((batch, in_features), dy)
    _, _, t_indptr, t_indices, t_perm = dispatch.addresses(topology, rows, in_features, nnz)
    _DX_KERNEL[dy.dtype](
        *(dx.data_ptr(), dy.data_ptr(), values.data_ptr(), t_indptr, t_indices, t_perm),
        *(rows, in_features, batch, dispatch.threads(nnz, batch)),
    )
    return dx


def _dw(dy: Tensor, x: Tensor, topology: Tensor, nnz: int) -> Tensor:
    (batch, rows), cols = dy.shape, x.shape[1]
    dispatch.check(topology, rows, cols, nnz, (batch, x.shape[0]))
    dvalues = x.new_empty(nnz, dtype=torch.float32)
    indptr, indices, *_ = dispatch.addresses(topology, rows, cols, nnz)
    _DW_KERNEL[x.dtype](
        *(dvalues.data_ptr(), dy.data_ptr(), x.data_ptr(), indptr, indices),
        *(rows, cols, batch, dispatch.threads(nnz, batch)),
    )
    return dvalues


def _gradients(dy: Tensor, x: Tensor, values: Tensor, topology: Tensor) -> tuple[Tensor, Tensor]:
    (batch, rows), cols, nnz = dy.shape, x.shape[1], values.shape[0]
    dispatch.check(topology, rows, cols, nnz, (batch, x.shape[0]))
    values = values.contiguous()
    dx, dvalues = dispatch.empty_innermost((batch, cols), dy), x.new_empty(nnz, dtype=torch.float32)
    _GRADIENTS_KERNEL[x.dtype](
        *(dx.data_ptr(), dvalues.data_ptr(), dy.data_ptr(), x.data_ptr(), values.data_ptr()),
        *(*dispatch.addresses(topology, rows, cols, nnz), rows, cols, batch, dispatch.threads(nnz, batch)),
    )
    return dx, dvalues


class _Direct(torch.autograd.Function):
    """The layer without the dispatcher: forward and backward call the kernels themselves.

    A gradient of the gradient, or somebody who listens to the backward pass, gets the operators instead.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, values: Tensor, bias: Tensor | None, topology: Tensor, out_features: int
    ) -> Tensor:
        inner = dispatch.innermost(x)
        ctx.save_for_backward(x, inner, values, topology)
        ctx.moved = inner is not x
        return _forward(inner, values, bias, topology, out_features)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, inner, values, topology = ctx.saved_tensors
        need_x, need_values, need_bias, *_ = ctx.needs_input_grad
        if torch.is_grad_enabled() or dy.dtype is not inner.dtype or not dispatch.direct_stored(dy):
            dx, dv = _needed(dy, x, values, topology, need_x, need_values)
            return dx, dv, dy.sum(0, dtype=values.dtype) if need_bias else None, None, None
        dy = dispatch.innermost(dy)
        dx = dv = None
        if need_x and need_values:
            dx, dv = _gradients(dy, inner, values, topology)
        elif need_x:
            dx = _dx(dy, values, topology, x.shape[1])
        elif need_values:
            dv = _dw(dy, inner, topology, values.shape[0])
        if ctx.moved and dx is not None:
            dx = dispatch.outermost(dx)  # who gave x in another layout wants its gradient in that
        return dx, dv, dispatch.channel_sums(dy) if need_bias else None, None, None


def _needed(
    dy: Tensor, x: Tensor, values: Tensor, topology: Tensor, need_x: bool, need_values: bool
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients that are asked for, by the operators."""
    if need_x and need_values:
        return linear_gradients(dy, x, values, topology)
    dx = linear_dx(dy, values, topology, x.shape[1]) if need_x else None
    return dx, linear_dw(dy, x, topology, values.shape[0]) if need_values else None


# Fake: shapes and strides only.


def _linear_fake(x: Tensor, values: Tensor, topology: Tensor, out_features: int) -> Tensor:
    return x.new_empty(out_features, x.shape[0]).t()


def _dx_fake(dy: Tensor, values: Tensor, topology: Tensor, in_features: int) -> Tensor:
    return dy.new_empty(in_features, dy.shape[0]).t()


def _dw_fake(dy: Tensor, x: Tensor, topology: Tensor, nnz: int) -> Tensor:
    return x.new_empty(nnz, dtype=dispatch.summed(x.dtype))


def _gradients_fake(dy: Tensor, x: Tensor, values: Tensor, topology: Tensor) -> tuple[Tensor, Tensor]:
    return _dx_fake(dy, values, topology, x.shape[1]), _dw_fake(dy, x, topology, values.shape[0])


# Gradients.


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3])


def _linear_backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    x, values, topology = ctx.saved_tensors
    return *_needed(g, x, values, topology, *ctx.needs_input_grad[:2]), None, None


def _dx_backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    dy, values, topology = ctx.saved_tensors
    d_dy = linear(g, values, topology, dy.shape[1]) if ctx.needs_input_grad[0] else None
    dv = linear_dw(dy, g, topology, values.shape[0]) if ctx.needs_input_grad[1] else None
    return d_dy, dv, None, None


def _dw_backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    dy, x, topology = ctx.saved_tensors
    d_dy = linear(x, g, topology, dy.shape[1]) if ctx.needs_input_grad[0] else None
    dx = linear_dx(dy, g, topology, x.shape[1]) if ctx.needs_input_grad[1] else None
    return d_dy, dx, None, None


def _save_four(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs)


def _gradients_backward(ctx: Any, g_dx: Tensor, g_dv: Tensor) -> tuple[Tensor | None, ...]:
    dy, x, values, topology = ctx.saved_tensors
    rows, cols, nnz = dy.shape[1], x.shape[1], values.shape[0]
    need_dy, need_x, need_values, _ = ctx.needs_input_grad
    d_dy = linear(g_dx, values, topology, rows) + linear(x, g_dv, topology, rows) if need_dy else None
    d_x = linear_dx(dy, g_dv, topology, cols) if need_x else None
    return d_dy, d_x, linear_dw(dy, g_dx, topology, nnz) if need_values else None, None


dispatch.register(_LINEAR, _linear_reference, _linear_cpu, _linear_fake, _linear_backward, _save)
dispatch.register(_DX, _dx_reference, _dx_cpu, _dx_fake, _dx_backward, _save)
dispatch.register(_DW, _dw_reference, _dw_cpu, _dw_fake, _dw_backward, _save)

dispatch.register(_GRADIENTS, _gradients_reference, _gradients_cpu, _gradients_fake, _gradients_backward, _save_four)


# FLOP: what really runs, so the reference is charged its dense product.


@register_flop_formula(torch.ops.tithe.linear, get_raw=True)
def _linear_flop(x: Tensor, values: Tensor, topology: Tensor, out_features: int, *_: Any, **__: Any) -> int:
    weights = values.shape[0] if dispatch.has_stored_kernel(x, values=values) else out_features * x.shape[1]
    return 2 * weights * x.shape[0]


@register_flop_formula(torch.ops.tithe.linear_dx, get_raw=True)
def _dx_flop(dy: Tensor, values: Tensor, topology: Tensor, in_features: int, *_: Any, **__: Any) -> int:
    weights = values.shape[0] if dispatch.has_stored_kernel(dy, values=values) else dy.shape[1] * in_features
    return 2 * weights * dy.shape[0]


@register_flop_formula(torch.ops.tithe.linear_dw, get_raw=True)
def _dw_flop(dy: Tensor, x: Tensor, topology: Tensor, nnz: int, *_: Any, **__: Any) -> int:
    weights = nnz if dispatch.has_stored_kernel(dy, x) else dy.shape[1] * x.shape[1]
    return 2 * weights * x.shape[0]


@register_flop_formula(torch.ops.tithe.linear_gradients, get_raw=True)
def _gradients_flop(dy: Tensor, x: Tensor, values: Tensor, topology: Tensor, *_: Any, **__: Any) -> int:
    return _dx_flop(dy, values, topology, x.shape[1]) + _dw_flop(dy, x, topology, values.shape[0])
