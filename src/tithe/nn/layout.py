"""The modules between sparse layers: ordinary ones become their twins that keep the batch innermost, and back."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from tithe.nn.norm import BatchNorm2d, ReLU
from tithe.nn.pool import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d

# A twin is a subclass that adds nothing to what a module holds, so a module changes its class and stays what it is: its
# parameters, buffers, hooks, mode and device, and whoever holds it, notice nothing.
TWINS: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm2d: BatchNorm2d,
    nn.MaxPool2d: MaxPool2d,
    nn.AvgPool2d: AvgPool2d,
    nn.AdaptiveAvgPool2d: AdaptiveAvgPool2d,
}
ORDINARY = {twin: ordinary for ordinary, twin in TWINS.items()} | {ReLU: nn.ReLU}


def keep_layout(modules: Iterable[nn.Module]) -> None:
    """Exact nn.BatchNorm2d and pooling modules become their twins, in place."""
    for module in modules:
        if type(module) in TWINS:
            module.__class__ = TWINS[type(module)]


def leave_layout(modules: Iterable[nn.Module]) -> None:
    """The twins become ordinary modules, in place. A norm that was asked to rectify stays: torch has none that does."""
    for module in modules:
        if isinstance(module, BatchNorm2d):
            if module.relu:
                continue
            module.__dict__.pop("reader", None)
        ordinary = ORDINARY.get(type(module))
        if ordinary is not None:
            module.__class__ = ordinary  # type: ignore[assignment]
