"""SparseLinear: nn.Linear that stores and computes only its existing weights."""

from __future__ import annotations

from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from tithe import ops
from tithe.errors import UsageError
from tithe.nn.layer import SparseLayer, topology_for
from tithe.topology import Topology

M = TypeVar("M", nn.Linear, nn.Conv2d)


class SparseLinear(SparseLayer):
    """y = x W^T + b with nnz weights. x [..., in], y [..., out].

    >>> import torch, tithe
    >>> topology = tithe.Topology.random((30, 40), nnz=60)
    >>> layer = tithe.SparseLinear(40, 30, topology)
    >>> layer(torch.ones(8, 40)).shape, layer.values.shape
    (torch.Size([8, 30]), torch.Size([60]))
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        topology: Topology,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__((out_features, in_features), topology, bias, device, dtype)
        self.in_features, self.out_features = in_features, out_features
        self.reset_parameters()

    @classmethod
    def from_dense(
        cls,
        module: nn.Linear,
        mask: Tensor | None = None,  # bool [out, in]
        density: float | None = None,
        generator: torch.Generator | None = None,
    ) -> SparseLinear:
        """The same layer with only the masked (or so many randomly drawn) weights; their values stay.

        Raises:
            UsageError: neither or both of mask and density, a wrong mask shape, a density that leaves no weight.
        """
        layer = cls.on(module, topology_for(module.weight, mask, density, generator))
        copy_weights(layer, module)
        return layer

    @classmethod
    def on(cls, module: nn.Linear, topology: Topology) -> SparseLinear:
        """A layer of the module's sizes, device and dtype on this topology; its weights are drawn, not copied."""
        weight, bias = module.weight, module.bias is not None
        return cls(module.in_features, module.out_features, topology, bias, weight.device, weight.dtype)

    def to_dense(self) -> nn.Linear:
        """An nn.Linear that computes the same."""
        like = {"device": self.values.device, "dtype": self.values.dtype}
        dense = nn.utils.skip_init(nn.Linear, self.in_features, self.out_features, self.bias is not None, **like)
        return fill_dense(cast(nn.Linear, dense), self)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> y [..., out]; y is batch-innermost in memory."""
        if x.shape[-1] != self.in_features:
            raise UsageError(
                f"an input of shape {tuple(x.shape)} was given; its last dimension must be the layer's "
                f"{self.in_features} features"
            )
        x = self._matching(x)
        flat = x if x.dim() == 2 else x.reshape(-1, self.in_features)
        y = self._compute(flat)
        return y if x.dim() == 2 else y.reshape(*x.shape[:-1], self.out_features)

    def sparse_forward(self, x: Tensor) -> Tensor:
        """x [N, in] through the sparse operator."""
        return ops.linear(x, self.values, self.packed, self.out_features, self.bias)

    def dense_forward(self, x: Tensor) -> Tensor:
        """x [N, in] through a dense product; y is batch-innermost all the same."""
        weight, columns = self._scattered(), x.t()
        y = weight @ columns if self.bias is None else torch.addmm(self.bias[:, None], weight, columns)
        return y.t()

    def weight_gradient(self, x: Tensor, dy: Tensor, rows: slice) -> Tensor:
        """dY^T X for these rows, in the values' dtype."""
        return dy[:, rows].t().to(self.values.dtype) @ x.to(self.values.dtype)

    def gradient_at(self, x: Tensor, dy: Tensor, topology: Topology) -> Tensor:
        """x [..., in], dy [..., out] -> [nnz]; costs 2 nnz FLOP an example, and nothing dense is made."""
        flat = x.reshape(-1, self.in_features).to(dy.dtype)
        return ops.linear_dw(dy.reshape(-1, self.out_features), flat, topology.packed, topology.nnz)

    @property
    def rows_are_separate(self) -> bool:
        """Always."""
        return True

    @property
    def geometry(self) -> tuple[object, ...]:
        """The weight's shape."""
        return self.weight_shape

    def extra_repr(self) -> str:
        """Sizes and density, for print(model)."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, "
            f"nnz={self.nnz}, density={self.density:.4g}{self._kernel_repr()}"
        )


def copy_weights(layer: SparseLayer, module: nn.Linear | nn.Conv2d) -> None:
    """Give the sparse layer the dense module's values where its weights exist, its bias and its training mode."""
    topology = layer.topology
    with torch.no_grad():
        flat = module.weight.reshape(layer.matrix_shape)
        layer.values.copy_(flat[topology.rows(), topology.indices.long()])
        if layer.bias is not None and module.bias is not None:
            layer.bias.copy_(module.bias)
            layer.bias.requires_grad_(module.bias.requires_grad)
    layer.values.requires_grad_(module.weight.requires_grad)
    layer.train(module.training)


def fill_dense(dense: M, layer: SparseLayer) -> M:
    """Give the dense module the sparse layer's weight, bias, training mode and what is frozen."""
    with torch.no_grad():
        dense.weight.copy_(layer.dense_weight())
        if layer.bias is not None and dense.bias is not None:
            dense.bias.copy_(layer.bias)
            dense.bias.requires_grad_(layer.bias.requires_grad)
    dense.weight.requires_grad_(layer.values.requires_grad)
    return dense.train(layer.training)
