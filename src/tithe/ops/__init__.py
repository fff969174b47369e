"""The sparse operators `torch.ops.tithe.*`: CPU kernels, reference, fake, gradient and FLOP formula side by side.

Activations are batch-innermost: a tensor keeps its logical shape, [N, F] or [N, C, H, W]; in memory N is contiguous.
"""

from tithe.ops import isa
from tithe.ops.conv2d import conv2d, conv2d_dw, conv2d_dx, conv2d_gradients
from tithe.ops.dense_dw import conv2d_dense_dw
from tithe.ops.linear import linear, linear_dw, linear_dx, linear_gradients
from tithe.ops.norm import batch_norm

isa.choose()

__all__ = [
    "batch_norm",
    "conv2d",
    "conv2d_dense_dw",
    "conv2d_dw",
    "conv2d_dx",
    "conv2d_gradients",
    "linear",
    "linear_dw",
    "linear_dx",
    "linear_gradients",
]
