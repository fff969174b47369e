"""The dense gradient of a convolution's weight, from activations whose batch is innermost: what scouting pays for.

    dW[o, c, ky, kx] = sum_{y, x, n} dy[o, y, x, n] * padded[c, s y + ky, s x + kx, n]

is one matrix product over all output positions and examples once what each tap (ky, kx) reads stands in a row of its
own. Such a copy of the whole image would be kh * kw times as large as the image, and would come from memory: it is
made for a few positions at a time and multiplied while it is in the cache.

A narrow convolution of stride 1 has a kernel of its own, which copies nothing; in a wide one the product takes so much
more time than the copy that torch's matrix product is faster.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.flop_counter import flop_registry, register_flop_formula

from tithe import ops
from tithe.ops import dispatch

Pair = tuple[int, int]

# Numbers that are copied at a time, 4 MB; but never fewer than so many in a row, or the product would spend its time
# on reading and writing the gradient that it adds to.
COPIED, LEAST_LENGTH = 2**20, 512
NARROW = 256  # channels, in and out: at 640 torch's product is 1.3 times as fast as the kernel

if torch.ops.aten.addmm_ not in flop_registry:  # torch's counter knows addmm, but not in place

    @register_flop_formula(torch.ops.aten.addmm_)
    def _addmm_flop(self_shape: Any, a_shape: Any, b_shape: Any, *_: Any, **__: Any) -> int:
        return 2 * a_shape[0] * a_shape[1] * b_shape[1]


def takes(x: Tensor, dy: Tensor) -> bool:
    """Whether these are what `conv2d_dense_dw` is for: activations whose batch is innermost."""
    return dispatch.is_innermost(x) and dispatch.is_innermost(dy)


def conv2d_dense_dw(
    x: Tensor, dy: Tensor, kernel: Pair, stride: Pair, padding: Pair, dtype: torch.dtype | None = None
) -> Tensor:
    """[out, in * kh * kw] of `dtype` (x's) from x [N, in, H, W] and dy [N, out, H', W']; one group, no dilation."""
    if _has_kernel(x, dy, stride, dtype or x.dtype):
        return ops.conv2d_dense_dw(dy.float(), x.float(), kernel, padding)  # from bfloat16 perhaps
    image = pad(x.movedim(0, -1), (0, 0, padding[1], padding[1], padding[0], padding[0]))  # [in, H, W, N]
    # A view [in, kh, kw, H', W', N]: what each tap reads.
    read = image.unfold(1, kernel[0], stride[0]).unfold(2, kernel[1], stride[1]).permute(0, 4, 5, 1, 2, 3)
    dy = dy.movedim(0, -1)
    rows, columns = dy.shape[0], x.shape[1] * kernel[0] * kernel[1]
    gradient = x.new_zeros(rows, columns, dtype=dtype)
    for lines, part in _pieces(dy, columns):
        factors = dy[:, lines, part].reshape(rows, -1), read[..., lines, part, :].reshape(columns, -1)
        gradient.addmm_(factors[0].to(gradient.dtype), factors[1].to(gradient.dtype).t())
    return gradient


def _has_kernel(x: Tensor, dy: Tensor, stride: Pair, dtype: torch.dtype) -> bool:
    return (
        tuple(stride) == (1, 1)
        and max(x.shape[1], dy.shape[1]) <= NARROW
        and dtype == torch.float32
        and dispatch.has_stored_kernel(x, dy)
        and takes(x, dy)
    )


def _pieces(dy: Tensor, columns: int) -> Iterator[tuple[slice, slice]]:
    """Whole lines of dy [out, H', W', N], or parts of one line, so long that the copy has the wanted size."""
    _, height, width, batch = dy.shape
    positions = max(COPIED // columns, LEAST_LENGTH) // max(batch, 1)
    high, wide = max(1, positions // width), max(1, min(positions, width))
    for top in range(0, height, high):
        for left in range(0, width, wide):
            yield slice(top, top + high), slice(left, left + wide)
