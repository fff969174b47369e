"""The way down from many weights to few: what the methods share that prune. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tithe import budget as budgets
from tithe.errors import UsageError
from tithe.methods.base import check_fraction
from tithe.nn.layer import SparseLayer
from tithe.rewire import LayerPlan
from tithe.scores import smallest, smallest_of_all

GLOBAL = "global"  # the budget in which all layers' weights compete with each other


@dataclass(frozen=True)
class Descent:
    """How many weights there are at first and how many there shall be at last."""

    first: Mapping[str, int]
    last: Mapping[str, int] | int  # of each layer, or of all together

    @staticmethod
    def of(layers: Mapping[str, SparseLayer], density: float, budget: str) -> Descent:
        """From the weights that the layers have to exactly `density` of the logical ones.

        Raises:
            UsageError: a density or budget that is not possible, or nothing to prune.
        """
        check_fraction(density=density)
        first = {name: layer.nnz for name, layer in layers.items()}
        shapes = {name: layer.weight_shape for name, layer in layers.items()}
        spread = budgets.counts(shapes, density, "uniform" if budget == GLOBAL else budget)
        total, present = sum(spread.values()), sum(first.values())
        if total >= present:
            raise _nothing_to_prune(density, present / sum(map(math.prod, shapes.values())))
        if budget == GLOBAL:
            return Descent(first, total)
        short = next((name for name in first if first[name] < spread[name]), None)
        if short is not None:
            raise UsageError(
                f"budget {budget!r} gives layer {short!r} {spread[short]} weights, but it has only {first[short]}; "
                "start with tithe.sparsify(model, density=1.0)"
            )
        return Descent(first, spread)

    @property
    def kept(self) -> float:
        """The fraction of the first weights that there are at last."""
        last = self.last if isinstance(self.last, int) else sum(self.last.values())
        return last / sum(self.first.values())

    def drop(self, sizes: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
        """Which weights go.

        Args:
            sizes: [nnz] for each layer; the smallest go.
            progress: how much of the way has to be done then, 0 to 1.

        Returns:
            Bool [nnz] for each layer. A layer keeps at least one weight.
        """
        if isinstance(self.last, int):
            present = sum(size.numel() for size in sizes.values())
            return smallest_of_all(sizes, max(present - _between(sum(self.first.values()), self.last, progress), 0))
        return {
            name: smallest(size, max(size.numel() - _between(self.first[name], self.last[name], progress), 0))
            for name, size in sizes.items()
        }


def _nothing_to_prune(density: float, present: float) -> UsageError:
    if density == 1:
        return UsageError(f"density={density:g} was given, so there is nothing to prune; give less, e.g. 0.05 for 5 %")
    return UsageError(
        f"density={density:g} was given, but the model has only {present:.4g} of its weights, so there is nothing to "
        "prune; start with tithe.sparsify(model, density=1.0) and prune to less"
    )


def pruned(drop: Mapping[str, Tensor]) -> dict[str, LayerPlan]:
    """The plans that drop and grow nothing."""
    return {name: LayerPlan(gone, torch.empty(0, dtype=torch.int64)) for name, gone in drop.items()}


def sizes_of(layers: Mapping[str, SparseLayer]) -> dict[str, Tensor]:
    """|value| of each weight, [nnz] for each layer."""
    return {name: layer.values.detach().abs() for name, layer in layers.items()}


def _between(first: int, last: int, progress: float) -> int:
    return first - round((first - last) * progress)
