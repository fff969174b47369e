"""SparseConv2d: nn.Conv2d that stores and computes only its existing weights."""

from __future__ import annotations

import warnings
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional, grad

from tithe import ops
from tithe.errors import UsageError
from tithe.nn.dense_gradient import conv2d_dense_dw, takes
from tithe.nn.layer import SparseLayer, topology_for
from tithe.nn.linear import copy_weights, fill_dense
from tithe.topology import Topology

Pair = tuple[int, int]
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class SparseConv2d(SparseLayer):
    """2-D convolution with nnz weights. x [N, in, H, W], y [N, out, H', W'].

    Takes nn.Conv2d's arguments; its weight [out, in / groups, kh, kw] is the matrix [out, in / groups * kh * kw].
    Groups and dilation are computed densely, by the reference, and a warning says so once.

    Raises:
        UsageError: groups that do not divide the channels, or a padding or padding mode that nn.Conv2d has not.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        topology: Topology,
        stride: int | Pair = 1,
        padding: int | Pair | str = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        kernel = _pair(kernel_size)
        super().__init__((out_channels, in_channels // groups, *kernel), topology, bias, device, dtype)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.dilation = kernel, _pair(stride), _pair(dilation)
        self.padding: Pair | str = padding if isinstance(padding, str) else _pair(padding)
        self.padding_mode = padding_mode
        self._check_arguments()
        self._border, self._padding = self._resolve_padding()
        if groups != 1 or self.dilation != (1, 1):
            warnings.warn(
                "SparseConv2d with groups or dilation runs the dense reference: right, but not faster",
                stacklevel=4,  # whoever called from_dense
            )
        self.reset_parameters()

    @classmethod
    def from_dense(
        cls,
        module: nn.Conv2d,
        mask: Tensor | None = None,  # bool [out, in / groups, kh, kw]
        density: float | None = None,
        generator: torch.Generator | None = None,
    ) -> SparseConv2d:
        """The same layer with only the masked (or so many randomly drawn) weights; their values stay.

        Raises:
            UsageError: neither or both of mask and density, a wrong mask shape, a density that leaves no weight.
        """
        layer = cls.on(module, topology_for(module.weight, mask, density, generator))
        copy_weights(layer, module)
        return layer

    @classmethod
    def on(cls, module: nn.Conv2d, topology: Topology) -> SparseConv2d:
        """A layer of the module's sizes, device and dtype on this topology; its weights are drawn, not copied."""
        how = _arguments(module) | {"device": module.weight.device, "dtype": module.weight.dtype}
        return cls(module.in_channels, module.out_channels, _pair(module.kernel_size), topology, **how)

    def to_dense(self) -> nn.Conv2d:
        """An nn.Conv2d that computes the same."""
        how = _arguments(self) | {"device": self.values.device, "dtype": self.values.dtype}
        dense = nn.utils.skip_init(nn.Conv2d, self.in_channels, self.out_channels, self.kernel_size, **how)
        return fill_dense(cast(nn.Conv2d, dense), self)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, in, H, W] (or [in, H, W]) -> y [N, out, H', W']; y is batch-innermost in memory."""
        if x.dim() not in (3, 4) or x.shape[-3] != self.in_channels:
            raise UsageError(
                f"an input of shape {tuple(x.shape)} was given; it must be [batch, {self.in_channels}, height, width] "
                "or the same without the batch"
            )
        if x.dim() == 3:
            return self.forward(x.unsqueeze(0)).squeeze(0)
        return self._compute(self._matching(self._with_border(x)))  # torch may pad in float32

    def sparse_forward(self, x: Tensor) -> Tensor:
        """x [N, in, H, W] through the sparse operator."""
        how = (self.kernel_size, self.stride, self._padding, self.dilation, self.groups)
        return ops.conv2d(x, self.values, self.packed, self.out_channels, *how, self.bias)

    def dense_forward(self, x: Tensor) -> Tensor:
        """x [N, in, H, W] through torch's convolution, in the layout that it likes best."""
        how: Any = (self.stride, self._padding, self.dilation, self.groups)
        return functional.conv2d(x.contiguous(), self._scattered(), self.bias, *how)

    def weight_gradient(self, x: Tensor, dy: Tensor, rows: slice) -> Tensor:
        """The dense convolution's weight gradient for these output channels, flattened, in the values' dtype."""
        innermost = takes(x, dy)
        dy, dtype = dy[:, rows], self.values.dtype
        if innermost and self.groups == 1 and self.dilation == (1, 1):
            return conv2d_dense_dw(x, dy, self.kernel_size, self.stride, self._padding, dtype)
        shape = (dy.shape[1], *self.weight_shape[1:])
        how: Any = (self.stride, self._padding, self.dilation, self.groups)
        return grad.conv2d_weight(x.to(dtype), shape, dy.to(dtype), *how).reshape(dy.shape[1], -1)

    def gradient_at(self, x: Tensor, dy: Tensor, topology: Topology) -> Tensor:
        """x [N, in, H, W], dy [N, out, H', W'] (or both without N) -> [nnz]; costs 2 nnz FLOP an output position."""
        if x.dim() == 3:
            return self.gradient_at(x.unsqueeze(0), dy.unsqueeze(0), topology)
        how = (self.kernel_size, self.stride, self._padding, self.dilation, self.groups)
        return ops.conv2d_dw(dy, self._with_border(x).to(dy.dtype), topology.packed, topology.nnz, *how)

    @property
    def rows_are_separate(self) -> bool:
        """Unless groups tie output channels to input channels."""
        return self.groups == 1

    @property
    def geometry(self) -> tuple[object, ...]:
        """The weight's shape and what a call needs besides."""
        return (self.weight_shape, self.stride, self._padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """Sizes, geometry and density, for print(model)."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, bias={self.bias is not None}, nnz={self.nnz}, density={self.density:.4g}"
            f"{self._kernel_repr()}"
        )

    def _check_arguments(self) -> None:
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise UsageError(
                f"groups={self.groups} was given; it must divide the {self.in_channels} input and the "
                f"{self.out_channels} output channels"
            )
        if isinstance(self.padding, str) and self.padding not in ("valid", "same"):
            raise UsageError(f"padding {self.padding!r} was given; allowed are 'valid', 'same' and numbers")
        if self.padding == "same" and self.stride != (1, 1):
            raise UsageError(f"padding 'same' was given with stride {self.stride}; it needs stride 1: pad by numbers")
        if self.padding_mode not in PADDING_MODES:
            raise UsageError(f"padding_mode {self.padding_mode!r} was given; allowed are {', '.join(PADDING_MODES)}")

    def _resolve_padding(self) -> tuple[list[int] | None, Pair]:
        """What to add around the input first (left, right, top, bottom) and what the operator pads with zeros."""
        if self.padding == "valid":
            return None, (0, 0)
        if isinstance(self.padding, str):  # "same": the odd element goes right and below, as in torch
            total = [dil * (ker - 1) for dil, ker in zip(self.dilation, self.kernel_size, strict=True)]
            sides = [(t // 2, t - t // 2) for t in total]
        else:
            sides = [(p, p) for p in self.padding]
        (top, bottom), (left, right) = sides
        if self.padding_mode == "zeros" and top == bottom and left == right:
            return None, (top, left)
        return [left, right, top, bottom], (0, 0)

    def _with_border(self, x: Tensor) -> Tensor:
        if self._border is None:
            return x
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        return functional.pad(x, self._border, mode=mode)


def _pair(value: Any) -> Pair:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _arguments(module: nn.Conv2d | SparseConv2d) -> dict[str, Any]:
    names = ("stride", "padding", "dilation", "groups", "padding_mode")
    return {name: getattr(module, name) for name in names} | {"bias": module.bias is not None}
