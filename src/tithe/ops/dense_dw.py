"""The dense weight gradient of a convolution of stride 1, from activations whose batch is innermost.

What scouting pays for: 2 FLOP for each logical weight, example and output position, padding included, as torch counts
them. It has no gradient of its own: nothing differentiates a scouted gradient.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import grad
from torch.utils.flop_counter import register_flop_formula

from tithe import _kernels
from tithe.ops import dispatch

_DENSE_DW = dispatch.define("conv2d_dense_dw", "Tensor dy, Tensor x, int[2] kernel, int[2] padding")


def conv2d_dense_dw(dy: Tensor, x: Tensor, kernel: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    """[out, in * kh * kw] from dy [N, out, H', W'] and x [N, in, H, W], both float32 with N innermost in memory."""
    return torch.ops.tithe.conv2d_dense_dw(dy, x, kernel, padding)


def _reference(dy, x, kernel, padding):
    return grad.conv2d_weight(x, (dy.shape[1], x.shape[1], *kernel), dy, 1, padding).reshape(dy.shape[1], -1)


def _cpu(dy, x, kernel, padding):
    if not dispatch.has_kernel(dy, x):
        return _reference(dy, x, kernel, padding)
    dy, x = dispatch.innermost(dy), dispatch.innermost(x)
    batch, channels, height, width = x.shape
    out = [size + 2 * pad - taps + 1 for size, taps, pad in zip((height, width), kernel, padding, strict=True)]
    rows = dy.shape[1]
    if list(dy.shape) != [batch, rows, *out]:
        raise RuntimeError(f"expected dy [{batch}, {rows}, {out[0]}, {out[1]}], but got {list(dy.shape)}")
    gradient = _fake(dy, x, kernel, padding)
    threads = dispatch.threads(gradient.numel(), batch, math.prod(out))
    _kernels.conv2d_dense_dw(
        *(gradient.data_ptr(), dy.data_ptr(), x.data_ptr()),
        *(rows, channels, height, width, *kernel, *padding, batch, threads),
    )
    return gradient


def _fake(dy, x, kernel, padding):
    return x.new_empty(dy.shape[1], x.shape[1] * kernel[0] * kernel[1])


torch.library.impl(_DENSE_DW, "CompositeExplicitAutograd", _reference)
torch.library.impl(_DENSE_DW, "CPU", _cpu)
torch.library.register_fake(_DENSE_DW, _fake)


@register_flop_formula(torch.ops.tithe.conv2d_dense_dw, get_raw=True)
def _flop(dy, x, kernel, padding, **_):
    return 2 * dy.shape[1] * x.shape[1] * math.prod(kernel) * dy.shape[0] * math.prod(dy.shape[2:])
