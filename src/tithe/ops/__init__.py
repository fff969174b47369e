"""The sparse operators `torch.ops.tithe.*`: CPU kernels, reference, fake, gradient and FLOP formula side by side.

Activations are batch-innermost: a tensor keeps its logical shape, [N, F] or [N, C, H, W]; in memory N is contiguous.
"""

from tithe.ops import isa
from tithe.ops.conv2d import conv2d, conv2d_dw, conv2d_dx
from tithe.ops.linear import linear, linear_dw, linear_dx
from tithe.ops.norm import batch_norm

isa.choose()

__all__ = ["batch_norm", "conv2d", "conv2d_dw", "conv2d_dx", "linear", "linear_dw", "linear_dx"]
