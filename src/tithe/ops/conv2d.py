"""Sparse 2-D convolution: W [out, in / groups, kh, kw] has nnz weights, a matrix [out, in / groups * kh * kw].

As for linear, the three operators are the three partial derivatives of one trilinear form (input, values, output
gradient), so each one's gradient is made of the other two. Each does 2 * nnz * N * (output positions)
floating-point operations, those on padding included, as torch counts a dense convolution. A fourth makes both gradients
at once. Activations may be stored in bfloat16 beside float32 values, as for linear.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import grad
from torch.utils.flop_counter import register_flop_formula

from tithe.errors import UsageError
from tithe.ops import dispatch

_HOW = "int[2] kernel, int[2] stride, int[2] padding, int[2] dilation, int groups"
_CONV = dispatch.define("conv2d", f"Tensor x, Tensor values, Tensor topology, SymInt out_channels, {_HOW}")
_DX = dispatch.define("conv2d_dx", f"Tensor dy, Tensor values, Tensor topology, SymInt[3] image, {_HOW}")
_DW = dispatch.define("conv2d_dw", f"Tensor dy, Tensor x, Tensor topology, SymInt nnz, {_HOW}")
_GRADIENTS = dispatch.define(
    "conv2d_gradients", f"Tensor dy, Tensor x, Tensor values, Tensor topology, {_HOW}", "(Tensor, Tensor)"
)
_FORWARD_KERNEL, _DX_KERNEL, _DW_KERNEL = map(dispatch.kernels, ("conv2d_forward", "conv2d_dx", "conv2d_dw"))
_GRADIENTS_KERNEL = dispatch.kernels("conv2d_gradients")

Pair = Sequence[int]  # (vertical, horizontal)


def conv2d(
    x: Tensor,
    values: Tensor,
    topology: Tensor,
    out_channels: int,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair = (1, 1),
    groups: int = 1,
    bias: Tensor | None = None,
) -> Tensor:
    """y [N, out, H', W'] from x [N, in, H, W], values [nnz], a packed topology and bias [out]; zero padding."""
    how = (kernel, stride, padding, dilation, groups)
    if groups == 1 and dilation == (1, 1) and dispatch.direct_stored(x, values, bias):
        return _Direct.apply(x, values, bias, topology, out_channels, *how)  # type: ignore[no-any-return]
    y = torch.ops.tithe.conv2d(x, values, topology, out_channels, *how)
    return y if bias is None else (y + bias.view(-1, 1, 1)).to(y.dtype)


def conv2d_dx(
    dy: Tensor,
    values: Tensor,
    topology: Tensor,
    image: Sequence[int],
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Tensor:
    """Gradient [N, *image] with respect to x, image = (in, H, W), from dy [N, out, H', W']."""
    return torch.ops.tithe.conv2d_dx(dy, values, topology, image, kernel, stride, padding, dilation, groups)


def conv2d_dw(
    dy: Tensor,
    x: Tensor,
    topology: Tensor,
    nnz: int,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Tensor:
    """Gradient [nnz] with respect to the values; nothing dense is made."""
    return torch.ops.tithe.conv2d_dw(dy, x, topology, nnz, kernel, stride, padding, dilation, groups)


def conv2d_gradients(
    dy: Tensor,
    x: Tensor,
    values: Tensor,
    topology: Tensor,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> tuple[Tensor, Tensor]:
    """Both gradients, as `conv2d_dx` and `conv2d_dw` give them but for rounding."""
    return torch.ops.tithe.conv2d_gradients(dy, x, values, topology, kernel, stride, padding, dilation, groups)


def has_kernel(dilation: Pair, groups: int, *activations: Tensor, values: Tensor | None = None) -> bool:
    """What `dispatch.has_stored_kernel` says, without dilation or groups; all else goes to the reference."""
    return groups == 1 and tuple(dilation) == (1, 1) and dispatch.has_stored_kernel(*activations, values=values)


def _columns(channels: int, kernel: Pair, groups: int) -> int:
    return channels // groups * kernel[0] * kernel[1]


def _weight(values: Tensor, topology: Tensor, out_channels: int, channels: int, kernel: Pair, groups: int) -> Tensor:
    columns = _columns(channels, kernel, groups)
    dispatch.check(topology, out_channels, columns, values.shape[0])
    flat = dispatch.dense_weight(values, topology, out_channels, columns)
    return flat.view(out_channels, channels // groups, *kernel)


def _output_size(image: Sequence[int], kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> list[int]:
    sides = zip(image[-2:], kernel, stride, padding, dilation, strict=True)
    size = [(side + 2 * pad - dil * (ker - 1) - 1) // step + 1 for side, ker, step, pad, dil in sides]
    if min(size) < 1:
        raise UsageError(
            f"an image of {image[-2]} x {image[-1]} was given, which with padding {tuple(padding)} is smaller "
            f"than the kernel {tuple(kernel)} with dilation {tuple(dilation)}; give a larger image or more padding"
        )
    return size


# Reference: any device, any floating dtype, groups and dilation.


@dispatch.without_autocast
def _conv_reference(x, values, topology, out_channels, kernel, stride, padding, dilation, groups):
    if dispatch.is_mixed(x, values):
        how = (kernel, stride, padding, dilation, groups)
        return dispatch.widened(_conv_reference, x, values, topology, out_channels, *how).to(x.dtype)
    weight = _weight(values, topology, out_channels, x.shape[1], kernel, groups)
    return dispatch.restride(torch.conv2d(x, weight, None, stride, padding, dilation, groups))


@dispatch.without_autocast
def _dx_reference(dy, values, topology, image, kernel, stride, padding, dilation, groups):
    if dispatch.is_mixed(dy, values):
        how = (kernel, stride, padding, dilation, groups)
        return dispatch.widened(_dx_reference, dy, values, topology, image, *how).to(dy.dtype)
    weight = _weight(values, topology, dy.shape[1], image[0], kernel, groups)
    shape = (dy.shape[0], *image)
    how = (stride, padding, dilation, groups)
    return dispatch.restride(grad.conv2d_input(shape, weight, dy, *how))


@dispatch.without_autocast
def _dw_reference(dy, x, topology, nnz, kernel, stride, padding, dilation, groups):
    if dispatch.are_bfloat16(dy, x):
        how = (kernel, stride, padding, dilation, groups)
        return dispatch.widened(_dw_reference, dy, x, topology, nnz, *how)
    rows, cols = dy.shape[1], _columns(x.shape[1], kernel, groups)
    dispatch.check(topology, rows, cols, nnz, (dy.shape[0], x.shape[0]))
    shape = (rows, x.shape[1] // groups, *kernel)
    dense = grad.conv2d_weight(x, shape, dy, stride, padding, dilation, groups).reshape(rows, cols)
    return dense[dispatch.row_index(topology, rows, cols), dispatch.column_index(topology, rows, cols)]


def _gradients_reference(dy, x, values, topology, *how):
    return _dx_reference(dy, values, topology, x.shape[1:], *how), _dw_reference(dy, x, topology, values.shape[0], *how)


# CPU: the kernels.


def _conv_cpu(x, values, topology, out_channels, kernel, stride, padding, dilation, groups):
    if not has_kernel(dilation, groups, x, values=values):
        return _conv_reference(x, values, topology, out_channels, kernel, stride, padding, dilation, groups)
    return _forward(dispatch.innermost(x), values, None, topology, out_channels, kernel, stride, padding)


def _dx_cpu(dy, values, topology, image, kernel, stride, padding, dilation, groups):
    if not has_kernel(dilation, groups, dy, values=values):
        return _dx_reference(dy, values, topology, image, kernel, stride, padding, dilation, groups)
    return _dx(dispatch.innermost(dy), values, topology, image, kernel, stride, padding)


def _dw_cpu(dy, x, topology, nnz, kernel, stride, padding, dilation, groups):
    if not has_kernel(dilation, groups, dy, x):
        return _dw_reference(dy, x, topology, nnz, kernel, stride, padding, dilation, groups)
    return _dw(dispatch.innermost(dy), dispatch.innermost(x), topology, nnz, kernel, stride, padding)


def _gradients_cpu(dy, x, values, topology, kernel, stride, padding, dilation, groups):
    if not has_kernel(dilation, groups, dy, x, values=values):
        return _gradients_reference(dy, x, values, topology, kernel, stride, padding, dilation, groups)
    return _gradients(dispatch.innermost(dy), dispatch.innermost(x), values, topology, kernel, stride, padding)


# These take tensors whose batch is innermost in memory.


def _forward(x, values, bias, topology, out_channels, kernel, stride, padding):
    batch, channels, height, width = x.shape
    columns, nnz = _columns(channels, kernel, 1), values.shape[0]
    out = _output_size(x.shape, kernel, stride, padding, (1, 1))
    dispatch.check(topology, out_channels, columns, nnz)
    values = values.contiguous()
    y = dispatch.empty_innermost((batch, out_channels, *out), x)
    indptr, indices, *_ = dispatch.addresses(topology, out_channels, columns, nnz)
    threads = dispatch.threads(nnz, batch, math.prod(out))
    _FORWARD_KERNEL[x.dtype](
        *(y.data_ptr(), x.data_ptr(), values.data_ptr(), 0 if bias is None else bias.contiguous().data_ptr()),
        *(indptr, indices, out_channels, channels, height, width, *kernel, *stride, *padding, batch, threads),
    )
    return y


def _dx(dy, values, topology, image, kernel, stride, padding):
    batch, out_channels, *out = dy.shape
    columns, nnz = _columns(image[0], kernel, 1), values.shape[0]
    sizes = (out, _output_size(image, kernel, stride, padding, (1, 1)))
    dispatch.check(topology, out_channels, columns, nnz, sizes)
    values = values.contiguous()
    dx = dispatch.empty_innermost((batch, *image), dy)
    _, _, t_indptr, t_indices, t_perm = dispatch.addresses(topology, out_channels, columns, nnz)
    threads = dispatch.threads(nnz, batch, math.prod(out))
    _DX_KERNEL[dy.dtype](
        *(dx.data_ptr(), dy.data_ptr(), values.data_ptr(), t_indptr, t_indices, t_perm),
        *(out_channels, *image, *kernel, *stride, *padding, batch, threads),
    )
    return dx


def _dw(dy, x, topology, nnz, kernel, stride, padding):
    out_channels = dy.shape[1]
    batch, channels, height, width = x.shape
    columns, out = _columns(channels, kernel, 1), _output_size(x.shape, kernel, stride, padding, (1, 1))
    dispatch.check(topology, out_channels, columns, nnz, (list(dy.shape), [batch, out_channels, *out]))
    dvalues = x.new_empty(nnz, dtype=torch.float32)
    indptr, indices, *_ = dispatch.addresses(topology, out_channels, columns, nnz)
    threads = dispatch.threads(nnz, batch, math.prod(out))
    _DW_KERNEL[x.dtype](
        *(dvalues.data_ptr(), dy.data_ptr(), x.data_ptr(), indptr, indices),
        *(out_channels, channels, height, width, *kernel, *stride, *padding, batch, threads),
    )
    return dvalues


def _gradients(dy, x, values, topology, kernel, stride, padding):
    out_channels = dy.shape[1]
    batch, channels, height, width = x.shape
    columns, out = _columns(channels, kernel, 1), _output_size(x.shape, kernel, stride, padding, (1, 1))
    nnz = values.shape[0]
    dispatch.check(topology, out_channels, columns, nnz, (list(dy.shape), [batch, out_channels, *out]))
    values = values.contiguous()
    dx, dvalues = dispatch.empty_innermost(x.shape, dy), x.new_empty(nnz, dtype=torch.float32)
    threads = dispatch.threads(nnz, batch, math.prod(out))
    _GRADIENTS_KERNEL[x.dtype](
        *(dx.data_ptr(), dvalues.data_ptr(), dy.data_ptr(), x.data_ptr(), values.data_ptr()),
        *dispatch.addresses(topology, out_channels, columns, nnz),
        *(out_channels, channels, height, width, *kernel, *stride, *padding, batch, threads),
    )
    return dx, dvalues


class _Direct(torch.autograd.Function):
    """The layer without the dispatcher, as for linear; one group, no dilation."""

    @staticmethod
    def forward(ctx, x, values, bias, topology, out_channels, *how):
        inner = dispatch.innermost(x)
        ctx.save_for_backward(x, inner, values, topology)
        ctx.moved = inner is not x
        ctx.how = how
        return _forward(inner, values, bias, topology, out_channels, *how[:3])

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, inner, values, topology = ctx.saved_tensors
        need_x, need_values, need_bias, *_ = ctx.needs_input_grad
        if torch.is_grad_enabled() or dy.dtype is not inner.dtype or not dispatch.direct_stored(dy):
            dx, dv = _needed(dy, x, values, topology, ctx.how, need_x, need_values)
            return dx, dv, dy.sum((0, 2, 3), dtype=values.dtype) if need_bias else None, *[None] * 7
        dy = dispatch.innermost(dy)
        dx = dv = None
        if need_x and need_values:
            dx, dv = _gradients(dy, inner, values, topology, *ctx.how[:3])
        elif need_x:
            dx = _dx(dy, values, topology, x.shape[1:], *ctx.how[:3])
        elif need_values:
            dv = _dw(dy, inner, topology, values.shape[0], *ctx.how[:3])
        if ctx.moved and dx is not None:
            dx = dispatch.outermost(dx)  # who gave x in another layout wants its gradient in that
        return dx, dv, dispatch.channel_sums(dy) if need_bias else None, *[None] * 7


def _needed(dy, x, values, topology, how, need_x, need_values):
    """The gradients that are asked for, by the operators."""
    if need_x and need_values:
        return conv2d_gradients(dy, x, values, topology, *how)
    dx = conv2d_dx(dy, values, topology, x.shape[1:], *how) if need_x else None
    return dx, conv2d_dw(dy, x, topology, values.shape[0], *how) if need_values else None


# Fake: shapes and strides only.


def _conv_fake(x, values, topology, out_channels, kernel, stride, padding, dilation, groups):
    out = _output_size(x.shape, kernel, stride, padding, dilation)
    return dispatch.batch_first(x.new_empty(out_channels, *out, x.shape[0]))


def _dx_fake(dy, values, topology, image, kernel, stride, padding, dilation, groups):
    return dispatch.batch_first(dy.new_empty(*image, dy.shape[0]))


def _dw_fake(dy, x, topology, nnz, kernel, stride, padding, dilation, groups):
    return x.new_empty(nnz, dtype=dispatch.summed(x.dtype))


def _gradients_fake(dy, x, values, topology, *how):
    return _dx_fake(dy, values, topology, x.shape[1:], *how), _dw_fake(dy, x, topology, values.shape[0], *how)


# Gradients.


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3])
    ctx.how = inputs[4:]


def _conv_backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
    x, values, topology = ctx.saved_tensors
    return *_needed(g, x, values, topology, ctx.how, *ctx.needs_input_grad[:2]), *[None] * 7


def _dx_backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
    dy, values, topology = ctx.saved_tensors
    d_dy = conv2d(g, values, topology, dy.shape[1], *ctx.how) if ctx.needs_input_grad[0] else None
    dv = conv2d_dw(dy, g, topology, values.shape[0], *ctx.how) if ctx.needs_input_grad[1] else None
    return d_dy, dv, *[None] * 7


def _dw_backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
    dy, x, topology = ctx.saved_tensors
    d_dy = conv2d(x, g, topology, dy.shape[1], *ctx.how) if ctx.needs_input_grad[0] else None
    dx = conv2d_dx(dy, g, topology, x.shape[1:], *ctx.how) if ctx.needs_input_grad[1] else None
    return d_dy, dx, *[None] * 7


def _save_four(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:4])
    ctx.how = inputs[4:]


def _gradients_backward(ctx: Any, g_dx: Tensor, g_dv: Tensor) -> tuple[Any, ...]:
    dy, x, values, topology = ctx.saved_tensors
    rows, nnz = dy.shape[1], values.shape[0]
    need_dy, need_x, need_values, *_ = ctx.needs_input_grad
    d_dy = d_x = dv = None
    if need_dy:
        d_dy = conv2d(g_dx, values, topology, rows, *ctx.how) + conv2d(x, g_dv, topology, rows, *ctx.how)
    if need_x:
        d_x = conv2d_dx(dy, g_dv, topology, x.shape[1:], *ctx.how)
    if need_values:
        dv = conv2d_dw(dy, g_dx, topology, nnz, *ctx.how)
    return d_dy, d_x, dv, *[None] * 6


dispatch.register(_CONV, _conv_reference, _conv_cpu, _conv_fake, _conv_backward, _save)
dispatch.register(_DX, _dx_reference, _dx_cpu, _dx_fake, _dx_backward, _save)
dispatch.register(_DW, _dw_reference, _dw_cpu, _dw_fake, _dw_backward, _save)

dispatch.register(_GRADIENTS, _gradients_reference, _gradients_cpu, _gradients_fake, _gradients_backward, _save_four)


# FLOP: what really runs, so the reference is charged its dense convolution.


@register_flop_formula(torch.ops.tithe.conv2d, get_raw=True)
def _conv_flop(x, values, topology, out_channels, kernel, stride, padding, dilation=(1, 1), groups=1, *, out_val, **_):
    dense = out_channels * _columns(x.shape[1], kernel, groups)
    weights = values.shape[0] if has_kernel(dilation, groups, x, values=values) else dense
    return 2 * weights * x.shape[0] * math.prod(out_val.shape[2:])


@register_flop_formula(torch.ops.tithe.conv2d_dx, get_raw=True)
def _dx_flop(dy, values, topology, image, kernel, stride, padding, dilation=(1, 1), groups=1, **_):
    dense = dy.shape[1] * _columns(image[0], kernel, groups)
    weights = values.shape[0] if has_kernel(dilation, groups, dy, values=values) else dense
    return 2 * weights * dy.shape[0] * math.prod(dy.shape[2:])


@register_flop_formula(torch.ops.tithe.conv2d_dw, get_raw=True)
def _dw_flop(dy, x, topology, nnz, kernel, stride, padding, dilation=(1, 1), groups=1, **_):
    dense = dy.shape[1] * _columns(x.shape[1], kernel, groups)
    weights = nnz if has_kernel(dilation, groups, dy, x) else dense
    return 2 * weights * dy.shape[0] * math.prod(dy.shape[2:])


@register_flop_formula(torch.ops.tithe.conv2d_gradients, get_raw=True)
def _gradients_flop(dy, x, values, topology, kernel, stride, padding, dilation=(1, 1), groups=1, **_):
    how = (kernel, stride, padding, dilation, groups)
    return _dx_flop(dy, values, topology, x.shape[1:], *how) + _dw_flop(dy, x, topology, values.shape[0], *how)
