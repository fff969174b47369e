"""The dense gradient of a convolution's weight, from activations whose batch is innermost: what scouting pays for.

    dW[o, c, ky, kx] = sum_{y, x, n} dy[o, y, x, n] * padded[c, s y + ky, s x + kx, n]

is one matrix product over all output positions and examples once what each tap (ky, kx) reads stands in a row of its
own. Such a copy of the whole image would be kh * kw times as large as the image, and would come from memory: it is
made for a few positions at a time and multiplied while it is in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

Pair = tuple[int, int]

# Numbers that are copied at a time, 4 MB; but never fewer than so many in a row, or the product would spend its time
# on reading and writing the gradient that it adds to.
COPIED, LEAST_LENGTH = 2**20, 512


def conv2d_dense_dw(
    x: Tensor, dy: Tensor, kernel: Pair, stride: Pair, padding: Pair, dtype: torch.dtype | None = None
) -> Tensor:
    """[out, in * kh * kw] of `dtype` (x's) from x [N, in, H, W] and dy [N, out, H', W']; one group, no dilation."""
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


def _pieces(dy: Tensor, columns: int) -> Iterator[tuple[slice, slice]]:
    """Whole lines of dy [out, H', W', N], or parts of one line, so long that the copy has the wanted size."""
    _, height, width, batch = dy.shape
    positions = max(COPIED // columns, LEAST_LENGTH) // max(batch, 1)
    high, wide = max(1, positions // width), max(1, min(positions, width))
    for top in range(0, height, high):
        for left in range(0, width, wide):
            yield slice(top, top + high), slice(left, left + wide)
