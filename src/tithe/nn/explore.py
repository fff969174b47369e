"""A layer that computes with some of its weights, and learns all of them: for methods that try weights out unseen."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tithe.nn.layer import SparseLayer
from tithe.topology import Topology


class Exploring:
    """While it lasts, the layer computes with its shown weights only, forward and backward; gradients reach all.

    With a shown and h hidden weights a step of a linear layer costs 2 a, 2 a and 2 (a + h) FLOP an example, where it
    would cost 6 (a + h) without. The layer's `values` stay one parameter. Copies of the layer explore too; `to_dense`
    gives all weights, and `densify` ends it.

    Args:
        layer: its topology must not change meanwhile.
        shown: bool [nnz]; not all, not none.
    """

    def __init__(self, layer: SparseLayer, shown: Tensor) -> None:
        places, device = layer.topology.positions(), layer.values.device
        self.mask = shown  # bool [nnz]
        self.shown, self.hidden = shown.nonzero().reshape(-1), (~shown).nonzero().reshape(-1)  # int64, into values
        self._packed = Topology.from_positions(places[shown].cpu(), layer.matrix_shape).to(device).packed
        self._rest = Topology.from_positions(places[~shown].cpu(), layer.matrix_shape).to(device)
        self._handles = [
            layer.register_forward_pre_hook(self._narrow),
            layer.register_forward_hook(self._widen, always_call=True),  # after an error too
        ]

    def stop(self) -> None:
        """Leave the layer as it was: it computes with all of its weights."""
        for handle in self._handles:
            handle.remove()

    def nbytes(self) -> int:
        """Bytes of what says which weights are shown."""
        return sum(part.nbytes for part in (self.mask, self.shown, self.hidden, self._packed, self._rest.packed))

    def _narrow(self, layer: Any, args: Any) -> None:
        """For the length of a forward pass the instance's own attributes hide the parameter and the topology."""
        layer.__dict__ |= {"values": layer.values.index_select(0, self.shown), "packed": self._packed}

    def _widen(self, layer: Any, args: Any, y: Tensor | None) -> Tensor | None:
        layer.__dict__.pop("values", None)
        layer.__dict__.pop("packed", None)
        if y is None or not (torch.is_grad_enabled() and layer.values.requires_grad):
            return None
        return _Hidden.apply(y, args[0], layer.values.index_select(0, self.hidden), layer, self._rest)  # type: ignore[no-any-return]


def stop_exploring(layer: SparseLayer) -> None:
    """Leave a layer, which may be a copy, as it was before it explored; nothing happens where it does not."""
    for hook in list(layer._forward_pre_hooks.values()):
        owner = getattr(hook, "__self__", None)
        if isinstance(owner, Exploring):
            owner.stop()


class _Hidden(torch.autograd.Function):
    """y as it is; backwards the hidden weights get the gradient that they would have had."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, x: Tensor, hidden: Tensor, layer: SparseLayer, topology: Topology) -> Tensor:
        ctx.save_for_backward(x)
        ctx.layer, ctx.topology, ctx.dtype = layer, topology, hidden.dtype
        return y.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return dy, None, ctx.layer.gradient_at(x, dy, ctx.topology).to(ctx.dtype), None, None
