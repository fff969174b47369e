"""One half of a plan, sparse or dense: what training this network would take, from rehearsed steps and their number."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from tithe.cost.calendar import Calendar, Kind
from tithe.cost.calibrate import StepTimes
from tithe.cost.figure import Figure
from tithe.cost.moves import LEFT_OPEN, Moves
from tithe.cost.rates import Cost, Rates
from tithe.cost.rehearsal import Loss, MakeOptimizer, Rehearsal, Sparse, Step, rewiring_peak

CATEGORIES = ("weights", "indices", "gradients", "optimizer", "activations", "scouting")
SPARSE_SHARE = Figure(
    *(0.28, "1", "modelled", 0.1, 0.4),
    "the sparse kernels sustain a part of the FLOP/s that dense ones do: 10 to 40 % over the layers and densities of "
    "benchmarks/sparse_layers_are_faster_than_dense.py",
)
_REHEARSED = "one step on tensors without memory"
_STEPS = f"{_REHEARSED}, times their number"
_ACTIVATIONS = f"{_REHEARSED}; workspaces inside operators are not seen"


@dataclass(frozen=True)
class Work:
    """What is to be trained, and how."""

    model: nn.Module  # dense or sparse, on any device; "meta" will do
    optimizer: MakeOptimizer
    sparse: Sparse
    loss: Loss
    batch: Callable[[int], tuple[Tensor, Any]]  # examples -> x and y, of which only shape and dtype matter
    calendar: Calendar  # of the sparse half; the dense one has as many steps
    bf16: bool = False
    kernels: bool = True  # whether sparse layers are computed by the kernels; else densely
    moves: Moves | None = None  # how rewiring moves weights between layers; None: it does not

    def rehearsal(self, density: float | None) -> Rehearsal:
        """With this density instead; None: dense."""
        return self._twin(None if density is None else replace(self.sparse, density=density))

    @functools.cached_property
    def on_average(self) -> Sparse:
        """The sparse network's layers as they are on average over the training, wherever its weights move."""
        if self.moves is None or not self.calendar.rewirings:
            return self.sparse
        layers = self._twin(self.sparse).layers
        shapes = {name: layer.weight_shape for name, layer in layers.items()}
        counts = self.moves.on_average(shapes, {name: layer.nnz for name, layer in layers.items()})
        return replace(self.sparse, budget={name: count / math.prod(shapes[name]) for name, count in counts.items()})

    def moved_flop(self, batch: int, plain: int) -> int:
        """FLOP that such a step takes more than `plain`, those at the beginning, on average over the training; or
        fewer, below 0."""
        if self.on_average is self.sparse:
            return 0
        return self._twin(self.on_average).step(*self.batch(batch)).flop - plain

    def _twin(self, sparse: Sparse | None) -> Rehearsal:
        return Rehearsal(self.model, self.optimizer, sparse, self.loss, self.bf16, self.kernels)


@dataclass(frozen=True)
class Half:
    """What training one of the two networks would take."""

    density: float  # of the layers that are or would be sparse
    weights: int  # parameters that exist, biases and norms included
    memory: dict[str, Figure]  # B a category, each at its most; CATEGORIES
    held: Figure  # B: all of that but activations and scouting
    held_peak: Figure  # B: but activations
    steady: Figure  # B: most that is alive at one moment outside scouting
    peak: Figure  # B: and while scouting and rewiring
    step_flop: Figure  # of a full batch, without scouting
    scouting_step_flop: Figure
    flop: Figure  # of the whole training, all workers
    exchanged: Figure  # B that each worker sends a step
    exchanged_rewiring: Figure  # B that each worker sends a rewiring, so that all grow the same
    cost: Cost
    seconds: Figure

    def json(self) -> dict[str, Any]:
        """Figures as `Figure.json` has them."""
        figures = {name: value.json() for name, value in vars(self).items() if isinstance(value, Figure)}
        memory = {name: figure.json() for name, figure in self.memory.items()}
        return {"density": self.density, "weights": self.weights, "memory": memory, **figures, "cost": self.cost.json()}


@dataclass(frozen=True)
class Rehearsed:
    """The steps that a half has, and the network they were rehearsed with."""

    sparse: bool
    steps: dict[Kind, Step]  # full batches first, those without scouting before those with it; full without always
    density: float
    weights: int
    nnz: list[int]  # of each sparse layer, at the beginning
    shapes: dict[str, tuple[int, ...]]  # of their weights

    def largest(self, scouting: bool) -> Kind:
        """The steps with the largest batches, with or without scouting; without where there are none with it."""
        return next((kind for kind in self.steps if kind.scouting == scouting), next(iter(self.steps)))


def rehearsed(work: Work, density: float | None, dense: Rehearsed | None = None) -> Rehearsed:
    """Rehearse a step of each kind at this density; None: dense.

    Where the rehearsed `dense` half shows that FLOP go with the batch, as they do unless a model mixes its examples,
    the smaller last batches of an epoch are not rehearsed again.
    """
    twin = work.rehearsal(density)
    full = max(kind.batch for kind in work.calendar.steps)
    kinds = {Kind(full, False), *(_kind(kind, density is not None) for kind in work.calendar.steps)}
    ordered = sorted(kinds, key=lambda kind: (-kind.batch, kind.scouting))
    steps: dict[Kind, Step] = {}
    for kind in ordered:
        like = steps.get(Kind(full, kind.scouting))
        if like is not None and dense is not None and _goes_with_batch(dense):
            steps[kind] = replace(like, flop=like.flop // full * kind.batch)
        else:
            steps[kind] = twin.step(*work.batch(kind.batch), scouting=kind.scouting)
    shapes = {name: layer.weight_shape for name, layer in twin.layers.items()}
    logical = sum(map(math.prod, shapes.values()))
    weights = sum(p.numel() for p in twin.model.parameters())
    nnz = twin.nnz()
    return Rehearsed(density is not None, steps, sum(nnz) / logical if logical else 1.0, weights, nnz, shapes)


def _goes_with_batch(found: Rehearsed) -> bool:
    each = {(step.flop / kind.batch) for kind, step in found.steps.items()}
    return len(each) == 1 and each.pop().is_integer()


def half(
    work: Work,
    found: Rehearsed,
    rates: Rates,
    times: StepTimes | None = None,
    dense: Rehearsed | None = None,
) -> Half:
    """What the rehearsed half would take.

    Args:
        work: what is to be trained.
        found: its rehearsed steps.
        rates: prices, for `rates.devices` workers that share each epoch.
        times: measured steps, where there are any.
        dense: where the sparse half is computed densely, the dense half's steps.
    """
    calendar = dict.fromkeys(found.steps, 0)
    for kind, count in work.calendar.steps.items():
        calendar[_kind(kind, found.sparse)] += count
    flops = {kind: _flop(kind, step, found.steps, dense) for kind, step in found.steps.items()}
    flop = _total(flops, calendar, rates.devices)
    if found.sparse and dense is None:
        flop = _moved(flop, work, found, calendar, rates.devices)
    seconds = _measured(calendar, work, found, times, flop) if times else _modelled(work, flop, found, rates)
    first, scouting = found.largest(scouting=False), found.largest(scouting=True)
    plain, scout = found.steps[first], found.steps[scouting]
    return Half(
        density=found.density,
        weights=found.weights,
        memory=_memory(plain, scout),
        held=_counted(plain.held.total - plain.held.scouting),
        held_peak=_counted(max(plain.held.total, scout.held.total)),
        steady=Figure(plain.peak, "B", "modelled", source=_ACTIVATIONS),
        peak=Figure(_peak(plain, scout, found, work.calendar.rewirings), "B", "modelled", source=_ACTIVATIONS),
        step_flop=Figure(flops[first], "FLOP", "counted", source=_REHEARSED),
        scouting_step_flop=Figure(flops[scouting], "FLOP", "counted", source=_REHEARSED),
        flop=flop,
        exchanged=_ring(plain.held.gradients, rates.devices, "the gradients"),
        exchanged_rewiring=_ring(scout.held.scouting, rates.devices, "the dense accumulators"),
        cost=rates.of_seconds(seconds),
        seconds=seconds,
    )


def _peak(plain: Step, scout: Step, found: Rehearsed, rewirings: int) -> float:
    if not (rewirings and found.sparse):
        return plain.peak
    rewiring = rewiring_peak(found.nnz, scout.end, scout.held.optimizer, scout.held.scouting)
    return max(plain.peak, scout.peak, rewiring)


def _kind(kind: Kind, sparse: bool) -> Kind:
    """The dense half never scouts."""
    return kind if sparse else Kind(kind.batch, False)


def _flop(kind: Kind, step: Step, steps: dict[Kind, Step], dense: Rehearsed | None) -> int:
    """What really runs: where there is no sparse kernel all weights are multiplied; scouting comes on top of either."""
    if dense is None:
        return step.flop
    without = Kind(kind.batch, False)
    return dense.steps[without].flop + step.flop - steps[without].flop


def _total(flops: dict[Kind, int], calendar: dict[Kind, int], workers: int) -> Figure:
    total = workers * sum(flops[kind] * count for kind, count in calendar.items())
    return Figure(total, "FLOP", "counted", source=_STEPS)


def _moved(flop: Figure, work: Work, found: Rehearsed, calendar: dict[Kind, int], workers: int) -> Figure:
    """The training's FLOP when rewiring moves weights between layers."""
    kind = found.largest(scouting=False)
    moved = work.moved_flop(kind.batch, found.steps[kind].flop) / kind.batch
    moved *= sum(kind.batch * count for kind, count in calendar.items()) * workers
    if moved == 0:
        return flop
    ends = (flop.value + moved * LEFT_OPEN.least, flop.value + moved * LEFT_OPEN.most)
    source = f"{_STEPS}, with weights that move between layers as the layers' sizes let expect"
    return Figure(flop.value + moved, "FLOP", "modelled", min(ends), max(ends), source)


def _measured(calendar: dict[Kind, int], work: Work, found: Rehearsed, times: StepTimes, flop: Figure) -> Figure:
    full = max(kind.batch for kind in calendar)
    plain, scouting = (
        sum(count * kind.batch / full for kind, count in calendar.items() if kind.scouting == which)
        for which in (False, True)
    )
    value, low, high = times.seconds(plain, scouting, work.calendar.rewirings if found.sparse else 0)
    source = "a few measured steps x their number; the interval is that of the middle half of the steps"
    if flop.least < flop.most:  # at most as uncertain as the FLOP
        low, high = low * flop.least / flop.value, high * flop.most / flop.value
        source += " and of the FLOP"
    return Figure(value, "s", "modelled", low, high, source)


def _modelled(work: Work, flop: Figure, found: Rehearsed, rates: Rates) -> Figure:
    speed = rates.flop_per_second
    if found.sparse and work.kernels:
        speed = speed.times(SPARSE_SHARE, "FLOP/s", f"{speed.source} x the sparse kernels' share of it")
    return flop.over(speed.times(rates.devices, "FLOP/s"), "s", f"FLOP / ({speed.source})")


def _memory(plain: Step, scout: Step) -> dict[str, Figure]:
    held = plain.held
    sizes = {
        "weights": held.weights,
        "indices": held.indices,
        "gradients": held.gradients,
        "optimizer": held.optimizer,
        "scouting": scout.held.scouting,
    }
    memory = {name: _counted(size) for name, size in sizes.items()}
    memory["activations"] = Figure(plain.activations, "B", "modelled", source=_ACTIVATIONS)
    return {name: memory[name] for name in CATEGORIES}


def _counted(size: int) -> Figure:
    return Figure(size, "B", "counted", source="sizes of the tensors")


def _ring(size: int, workers: int, what: str) -> Figure:
    """A ring all-reduce sends 2 (N - 1) / N of what is reduced (Patarasuk, Yuan 2009)."""
    sent = 2 * (workers - 1) / workers * size
    return Figure(sent, "B", "modelled", source=f"{what}, by a ring all-reduce: 2 (N - 1) / N of them")
