"""Sparse momentum: drop the smallest weights, grow where the momentum is largest.

Dettmers & Zettlemoyer 2019, "Sparse Networks from Scratch: Faster Training without Losing Performance",
arXiv 1907.04840, section 3 (number unchecked); constants as in their public code
(github.com/TimDettmers/sparse_learning). Differs from the paper in:

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
7. `growth="neuron"` is their code's `momentum_neuron`: a layer's new weights go to its neurons by mean |momentum|. A
   neuron that would get fewer than ten gets none there, and the count falls short; here it is exact.
8. Layers start with ERK's shares, unless `sparsify` is told otherwise, and exact counts; theirs all with one density,
   drawn weight by weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tithe.budget import apportion
from tithe.errors import UsageError
from tithe.methods.base import check_steps
from tithe.methods.scouting import Scouting
from tithe.methods.view import LayerView
from tithe.rewire import LayerPlan
from tithe.scores import count_above, row_tiles, strongest, strongest_by_row, weakest
from tithe.scout import Average, average_of

FREE_SHARE = 0.99  # a layer takes at most this share of its free places (their code)
FAINT = 0.01  # below this share of the layer's mean |momentum| a place counts as without a signal
DENSE = 0.8  # above this density a growing layer drops at most its own sparsity (their code)
FORGOTTEN = 0.01  # the share of the momentum that a scouting window may miss: decay^n <= 1 %, 44 steps at 0.9


class SparseMomentum(Scouting):
    """Rewires a sparsified model by momentum (Dettmers & Zettlemoyer 2019, arXiv 1907.04840); see `plan`.

    Call `step()` once after each `optimizer.step()` and before `optimizer.zero_grad()`.

    Args:
        model: holds the sparse layers; all of them take part.
        optimizer: holds their values. Its momentum ranks the missing weights (Adam: m / (sqrt(v) + 1e-8)); where it
            keeps none, an average of the gradient with decay 0.9 does.
        every: steps from one rewiring to the next; the paper takes one epoch.
        total_steps: steps of the whole training: the schedule ends there, and the last rewiring comes before.
        rate: fraction of each layer's weights to drop at first, above 0 and at most 1.
        schedule: "cosine" or "linear", from `rate` to 0.005, or "constant".
        redistribute: whether weights move between layers.
        scout_steps: steps before each rewiring in which the dense gradient is taken; by default as many as hold 99 % of
            the momentum. `every` or more: all steps, the exact choice, with one dense accumulator a layer all the time.
        grown_momentum: whether a grown weight starts with the momentum that ranked it (the paper's way) or at rest.
        growth: "weight", where the momentum is largest in the layer, or "neuron", where it is largest in each neuron,
            which gets its share by mean |momentum|.

    Raises:
        UsageError: an argument out of range, a model without sparse layers, an optimizer that does not hold them.

    >>> import torch, tithe
    >>> model = tithe.sparsify(torch.nn.Sequential(torch.nn.Linear(64, 10)), density=0.1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> rewire = tithe.SparseMomentum(model, optimizer, every=450, total_steps=4500)
    >>> rewire.scout_steps
    44
    """

    heals = True

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        every: int,
        total_steps: int,
        rate: float = 0.5,
        schedule: str = "cosine",
        redistribute: bool = True,
        scout_steps: int | None = None,
        grown_momentum: bool = False,
        growth: str = "weight",
    ) -> None:
        check_steps(scout_steps=scout_steps)
        if growth not in GROWTH:
            raise UsageError(f"growth={growth!r} was given; allowed are {', '.join(map(repr, GROWTH))}")
        super().__init__(model, optimizer, every=every, total_steps=total_steps, rate=rate, schedule=schedule)
        self.redistribute, self.grown_momentum, self.growth = redistribute, grown_momentum, growth
        self._start(scout_steps if scout_steps is not None else self._window())

    def _plans(self, rate: float) -> dict[str, LayerPlan]:
        plans = plan({name: self._view(name) for name in self.layers}, rate, self.redistribute, self.growth)
        return {name: self._with_state(name, layer_plan) for name, layer_plan in plans.items()}

    def _with_state(self, name: str, layer_plan: LayerPlan) -> LayerPlan:
        state = self._scouts[name].state_at(layer_plan.grow, self._average(name), self.grown_momentum)
        return LayerPlan(layer_plan.drop, layer_plan.grow, state)

    def _average(self, name: str) -> Average:
        return average_of(self.optimizer, self.layers[name].values)

    def _window(self) -> int:
        return window(self.optimizer, [layer.values for layer in self.layers.values()], self.every)


def window(optimizer: Optimizer, parameters: Iterable[Tensor], every: int) -> int:
    """How many steps to scout before each rewiring unless told otherwise: as many as hold 99 % of the momentum."""
    decay = max(average_of(optimizer, parameter).decay for parameter in parameters)
    return math.ceil(math.log(FORGOTTEN) / math.log(decay)) if 0 < decay < 1 else every


def plan(
    views: Mapping[str, LayerView], rate: float, redistribute: bool = True, growth: str = "weight"
) -> dict[str, LayerPlan]:
    """Which weights each layer drops and grows. Pure; the totals are equal.

    Args:
        views: the layers by name.
        rate: the fraction of each layer's weights to drop, 0 to 1.
        redistribute: whether layers get the dropped weights by their share of momentum; else each regrows its own.
        growth: "weight" or "neuron".
    """
    share = momentum_shares(views)
    places = {name: math.prod(view.topology.shape) for name, view in views.items()}
    dropped = {
        name: drop_count(view.topology.nnz, places[name], rate, wants_to_grow=share[name] * len(views) > 1)
        for name, view in views.items()
    }
    drop = {name: weakest(view.values, dropped[name]) for name, view in views.items()}
    grown = _grow_counts(views, drop, dropped, share) if redistribute else dropped
    grow = {n: GROWTH[growth](view, drop[n], grown[n]) for n, view in views.items()}
    return {n: LayerPlan(drop[n], grow[n]) for n in views}


def _grow_by_weight(view: LayerView, drop: Tensor, count: int) -> Tensor:
    return strongest(partial(view.scores, drop), count)


def _grow_by_neuron(view: LayerView, drop: Tensor, count: int) -> Tensor:
    rows, cols = view.topology.shape
    free = torch.cat([tile.view(-1, cols).ge(0).sum(1) for _, tile in view.scores(drop)]).tolist()
    means = torch.cat([view.signal(part).abs().mean(1) for part in row_tiles(rows, cols)]).tolist()
    return strongest_by_row(partial(view.scores, drop), cols, apportion(count, means, [0] * rows, free))


GROWTH = {"weight": _grow_by_weight, "neuron": _grow_by_neuron}


def momentum_shares(views: Mapping[str, LayerView]) -> dict[str, float]:
    """Mean |momentum| of each layer's existing weights over the sum of these means (their "redistribution")."""
    means = {name: float(view.momentum.abs().mean()) for name, view in views.items()}
    total = sum(means.values())
    return {name: mean / total if total > 0 else 1 / len(means) for name, mean in means.items()}


def drop_count(nnz: int, places: int, rate: float, wants_to_grow: bool) -> int:
    """ceil(rate * nnz), but a layer keeps one weight, and a dense layer that grows drops at most its own sparsity."""
    density = nnz / places
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
