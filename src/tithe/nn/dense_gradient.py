"""The dense gradient of a convolution's weight, from activations whose batch is innermost: what scouting pays for.

For each tap (ky, kx) it is a matrix product over all output positions and examples,

    dW[o, c, ky, kx] = sum_{y, x, n} dy[o, y, x, n] * padded[c, s y + ky, s x + kx, n],

and with the batch innermost both factors are matrices already: with stride 1 a tap only shifts the second one. torch's
own routine would first copy both tensors into another layout, which for narrow layers takes longer than the product.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

Pair = tuple[int, int]


def conv2d_dense_dw(x: Tensor, dy: Tensor, kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
    """[out, in * kh * kw] from x [N, in, H, W] and dy [N, out, H', W']; one group, no dilation."""
    lines = pad(x.movedim(0, -1), (0, 0, padding[1], padding[1], padding[0], padding[0]))  # [in, H, W, N]
    dy = dy.movedim(0, -1)
    rows, channels = dy.shape[0], lines.shape[0]
    shifted = stride == (1, 1)
    if shifted:  # lines of the padded image's width: then both run on in step, over what the padding adds
        dy = pad(dy, (0, 0, 0, lines.shape[2] - dy.shape[2]))
    factor = dy.reshape(rows, -1)
    gradient = x.new_empty(rows, channels, kernel[0] * kernel[1])
    taps = _shifts(lines, factor.shape[1], kernel) if shifted else _slices(lines, dy.shape[1:3], kernel, stride)
    for tap, image in enumerate(taps):
        gradient[:, :, tap] = factor[:, : image.shape[1]] @ image.t()
    return gradient.view(rows, -1)


def _shifts(lines: Tensor, length: int, kernel: Pair) -> Iterator[Tensor]:
    """The image [in, H, W, N] as a matrix that begins at each tap; the last ones end with the image."""
    _, _, width, batch = lines.shape
    flat = lines.reshape(lines.shape[0], -1)
    for ky in range(kernel[0]):
        for kx in range(kernel[1]):
            start = (ky * width + kx) * batch
            yield flat[:, start : start + length]


def _slices(lines: Tensor, out: torch.Size, kernel: Pair, stride: Pair) -> Iterator[Tensor]:
    """What each tap reads of the image [in, H, W, N], as a matrix [in, H' * W' * N]."""
    for ky in range(kernel[0]):
        for kx in range(kernel[1]):
            rows = lines[:, ky : ky + stride[0] * (out[0] - 1) + 1 : stride[0]]
            read = rows[:, :, kx : kx + stride[1] * (out[1] - 1) + 1 : stride[1]]
            yield read.reshape(lines.shape[0], -1)
