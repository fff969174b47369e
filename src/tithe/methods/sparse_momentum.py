"""Sparse momentum: drop the smallest weights, grow where the momentum is largest.

Dettmers & Zettlemoyer 2019, "Sparse Networks from Scratch: Faster Training without Losing Performance",
arXiv 1907.04840, section 3, and their public code. Differs from the paper in:

1. The momentum of missing weights is followed only in the last steps before a rewiring (`tithe.scout`); with
   `scout_steps >= every` it is followed always, and the choice is theirs.
2. Counts are exact: as many weights are grown as were dropped, so the density never drifts.
3. A grown weight starts at zero and at rest. In the paper it starts with the momentum that ranked it: a sum over steps
   in which nothing gave way, so thousands of new weights leave at full speed together. That is as accurate where it
   is stable (LeNet-300-100) and blows up where it is not (LeNet-5 at the paper's learning rate);
   `grown_momentum=True` asks for it. A weight that is dropped and grown at once keeps its momentum, not its value.
4. A place with next to no momentum (an input that is always dark, a unit that is dead) is grown only if nothing else
   is left: what a layer cannot use well goes to the others.
5. A layer keeps at least one weight; one that gets no gradient at all gets back what it dropped, where its signal is
   largest, instead of shrinking to nothing: so a network that was cut through heals.
6. What a full layer cannot take goes to the others by their shares, not in equal parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from tithe.budget import apportion
from tithe.rewire import LayerPlan
from tithe.scores import count_above, row_tiles, strongest, weakest
from tithe.topology import Topology

FREE_SHARE = 0.99  # a layer takes at most this share of its free places (their code)
FAINT = 0.01  # below this share of the layer's mean |momentum| a place counts as without a signal
DENSE = 0.8  # above this density a growing layer drops at most its own sparsity (their code)


@dataclass(frozen=True)
class LayerView:
    """What the method sees of a layer."""

    topology: Topology
    values: Tensor  # [nnz]
    momentum: Tensor  # [nnz], of the existing weights
    signal: Callable[[slice], Tensor]  # rows -> [len(rows), cols], the momentum of all; made a few rows at a time

    def scores(self, drop: Tensor) -> Iterator[tuple[int, Tensor]]:
        """|momentum| of the places that are free once `drop` (bool [nnz]) is gone, as `tithe.scores` takes it."""
        topology, cols = self.topology, self.topology.shape[1]
        for rows in row_tiles(*topology.shape):
            tile = self.signal(rows).abs().reshape(-1)
            pointers = topology.indptr[rows.start : rows.stop + 1].long()
            here = slice(int(pointers[0]), int(pointers[-1]))
            places = torch.repeat_interleave(pointers.diff()) * cols + topology.indices[here].long()
            tile[places] = torch.where(drop[here], self.momentum[here].abs(), -1)
            yield rows.start * cols, tile


def plan(views: Mapping[str, LayerView], rate: float, redistribute: bool = True) -> dict[str, LayerPlan]:
    """Which weights each layer drops and grows. Pure; the totals are equal.

    Args:
        views: the layers by name.
        rate: the fraction of each layer's weights to drop, 0 to 1.
        redistribute: whether layers get the dropped weights by their share of momentum; else each regrows its own.
    """
    share = momentum_shares(views)
    dropped = {name: drop_count(view, rate, share[name] * len(views) > 1) for name, view in views.items()}
    drop = {name: weakest(view.values, dropped[name]) for name, view in views.items()}
    grown = _grow_counts(views, drop, dropped, share) if redistribute else dropped
    grow = {n: strongest(partial(view.scores, drop[n]), grown[n]) for n, view in views.items()}
    return {n: LayerPlan(drop[n], grow[n]) for n in views}


def momentum_shares(views: Mapping[str, LayerView]) -> dict[str, float]:
    """Mean |momentum| of each layer's existing weights over the sum of these means (section 3.2, "redistribution")."""
    means = {name: float(view.momentum.abs().mean()) for name, view in views.items()}
    total = sum(means.values())
    return {name: mean / total if total > 0 else 1 / len(means) for name, mean in means.items()}


def drop_count(view: LayerView, rate: float, wants_to_grow: bool) -> int:
    """ceil(rate * nnz), but a layer keeps one weight, and a dense layer that grows drops at most its own sparsity."""
    nnz, density = view.topology.nnz, view.topology.density
    if density > DENSE and wants_to_grow:
        rate = min(rate, 1 - density)
    return min(math.ceil(rate * nnz), nnz - 1)


def _grow_counts(
    views: Mapping[str, LayerView], drop: Mapping[str, Tensor], dropped: Mapping[str, int], share: Mapping[str, float]
) -> dict[str, int]:
    total = sum(dropped.values())
    free = {n: math.prod(v.topology.shape) - v.topology.nnz + dropped[n] for n, v in views.items()}
    seen = {n: count_above(v.scores(drop[n]), FAINT * float(v.momentum.abs().mean())) for n, v in views.items()}
    # In order of preference: 99 % of the free places with a signal; any place with one; any place.
    limits = [{n: min(int(FREE_SHARE * free[n]), seen[n]) for n in views}, seen, free]
    most = next(limit for limit in limits if sum(limit.values()) >= total)
    least = {n: 0 if _lives(views[n]) else min(dropped[n], most[n]) for n in views}
    counts = apportion(total, list(share.values()), list(least.values()), list(most.values()))
    return dict(zip(views, counts, strict=True))


def _lives(view: LayerView) -> bool:
    """Whether any weight of the layer has felt a gradient: if none has, every path through it is cut."""
    return bool(view.momentum.any())
