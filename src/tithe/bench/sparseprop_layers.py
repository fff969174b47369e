"""SparseProp (Nikdan et al. 2023, arXiv 2302.04852; sparseprop 0.1.14), if it is installed."""

from typing import Any

from torch import Tensor, nn


def convert(layer: nn.Linear | nn.Conv2d, mask: Tensor, over_width: bool) -> nn.Module:
    """The masked layer as SparseProp's; over_width: its convolution that vectorises over the image's width."""
    from sparseprop.modules import SparseConv2d, SparseLinear  # pyright: ignore[reportMissingImports]

    if isinstance(layer, nn.Linear):
        return SparseLinear.from_dense(layer)
    return SparseConv2d.from_dense(layer, vectorizing_over_on=over_width)


def gradient(module: nn.Module) -> Tensor:
    """Of the values, [nnz]."""
    sparse: Any = module
    return sparse.W_val.grad


def cannot(layer: nn.Linear | nn.Conv2d) -> str | None:
    """Its convolutions are square, of stride 1 or 2, and padded alike on all sides."""
    if isinstance(layer, nn.Linear):
        return None
    square = layer.kernel_size[0] == layer.kernel_size[1] and layer.padding[0] == layer.padding[1]
    plain = layer.stride in ((1, 1), (2, 2)) and layer.dilation == (1, 1) and layer.groups == 1
    return None if square and plain else "has square kernels and strides of 1 and 2 only"
