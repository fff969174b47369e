"""One half of a plan, sparse or dense: what training this network would take, from rehearsed steps and their number."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from tithe.cost.calendar import Calendar, Kind
from tithe.cost.calibrate import StepTimes
from tithe.cost.figure import Figure
from tithe.cost.hardware import Hardware
from tithe.cost.rates import Cost, Rates
from tithe.cost.rehearsal import Loss, MakeOptimizer, Rehearsal, Sparse, Step

CATEGORIES = ("weights", "indices", "gradients", "optimizer", "activations", "scouting")
SPARSE_SHARE = Figure(
    *(0.28, "1", "modelled", 0.1, 0.4),
    "the sparse kernels sustain a part of the FLOP/s that dense ones do: 10 to 40 % over the layers and densities of "
    "benchmarks/sparse_layers_are_faster_than_dense.py",
)
_REHEARSED = "one step on tensors without memory"
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

    def rehearsal(self, density: float | None) -> Rehearsal:
        """With this density instead; None: dense."""
        sparse = None if density is None else Sparse(density, self.sparse.budget, self.sparse.keep_dense)
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
    peak: Figure  # B: and while scouting
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

    steps: dict[Kind, Step]
    density: float
    weights: int


def rehearsed(work: Work, density: float | None) -> Rehearsed:
    """Rehearse a step of each kind; the dense half never scouts."""
    twin = work.rehearsal(density)
    kinds = sorted({_kind(kind, density) for kind in work.calendar.steps}, key=lambda k: (-k.batch, k.scouting))
    steps = {kind: twin.step(*work.batch(kind.batch), scouting=kind.scouting) for kind in kinds}
    logical = sum(math.prod(layer.weight_shape) for layer in twin.layers.values())
    weights = sum(p.numel() for p in twin.model.parameters())
    return Rehearsed(steps, twin.nnz() / logical if logical else 1.0, weights)


def half(
    work: Work,
    density: float | None,
    rates: Rates,
    hardware: Hardware,
    times: StepTimes | None,
    dense_flop: Callable[[Kind], int] | None = None,
) -> Half:
    """The half of this density; None: dense.

    Args:
        work: what is to be trained.
        density: fraction of the weights that exist.
        rates: prices, for `rates.devices` workers that share each epoch.
        hardware: where.
        times: measured steps, where there are any.
        dense_flop: FLOP of a dense step, where the sparse one is computed densely.
    """
    found = rehearsed(work, density)
    calendar = {_kind(kind, density): 0 for kind in work.calendar.steps}
    for kind, count in work.calendar.steps.items():
        calendar[_kind(kind, density)] += count
    flops = {kind: _flop(kind, step, found.steps, dense_flop) for kind, step in found.steps.items()}
    flop = _total(flops, calendar, rates.devices, moves=density is not None and work.calendar.rewirings > 0)
    seconds = _seconds(calendar, work, flop, density, rates, hardware, times)
    first = next(iter(found.steps))  # a full batch; without scouting, if there are such steps
    scouting = next((kind for kind in found.steps if kind.scouting), first)
    plain, scout = found.steps[first], found.steps[scouting]
    return Half(
        density=found.density,
        weights=found.weights,
        memory=_memory(plain, scout),
        held=_counted(plain.held.total - plain.held.scouting),
        held_peak=_counted(max(plain.held.total, scout.held.total)),
        steady=Figure(plain.peak, "B", "modelled", source=_ACTIVATIONS),
        peak=Figure(max(plain.peak, scout.peak), "B", "modelled", source=_ACTIVATIONS),
        step_flop=Figure(flops[first], "FLOP", "counted", source=_REHEARSED),
        scouting_step_flop=Figure(flops[scouting], "FLOP", "counted", source=_REHEARSED),
        flop=flop,
        exchanged=_ring(plain.held.gradients, rates.devices, "the gradients"),
        exchanged_rewiring=_ring(scout.held.scouting, rates.devices, "the dense accumulators"),
        cost=rates.of_seconds(seconds),
        seconds=seconds,
    )


def _kind(kind: Kind, density: float | None) -> Kind:
    return kind if density is not None else Kind(kind.batch, False)


def _flop(kind: Kind, step: Step, steps: dict[Kind, Step], dense: Callable[[Kind], int] | None) -> int:
    """What really runs: where there is no sparse kernel all weights are multiplied; scouting comes on top of either."""
    if dense is None:
        return step.flop
    plain = steps.get(Kind(kind.batch, False))
    return dense(kind) + (step.flop - plain.flop if kind.scouting and plain else 0)


def _total(flops: dict[Kind, int], calendar: dict[Kind, int], workers: int, moves: bool) -> Figure:
    total = workers * sum(flops[kind] * count for kind, count in calendar.items())
    if moves:
        source = f"{_REHEARSED}, times their number; rewiring moves weights between layers, which changes it a little"
        return Figure(total, "FLOP", "modelled", source=source)
    return Figure(total, "FLOP", "counted", source=f"{_REHEARSED}, times their number")


def _seconds(
    calendar: dict[Kind, int],
    work: Work,
    flop: Figure,
    density: float | None,
    rates: Rates,
    hardware: Hardware,
    times: StepTimes | None,
) -> Figure:
    if times is not None:
        full = max(kind.batch for kind in calendar)
        plain, scouting = (
            sum(count * kind.batch / full for kind, count in calendar.items() if kind.scouting == which)
            for which in (False, True)
        )
        value, low, high = times.seconds(plain, scouting, work.calendar.rewirings if density is not None else 0)
        source = "a few measured steps x their number; the interval is that of the middle half of the steps"
        return Figure(value, "s", "modelled", low, high, source)
    speed = rates.flop_per_second
    if density is not None and hardware.kernels:
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
