"""Whether a training fits into a memory, and at which density it would."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tithe.budget import counts
from tithe.cost.calendar import Kind
from tithe.cost.figure import Figure
from tithe.cost.half import Half, Rehearsed, Work
from tithe.cost.rehearsal import Step, rewiring_peak
from tithe.errors import UsageError

ON_CHIP = Figure(300e6, "B", "assumed", source="an accelerator of 2020 with 300 MB on chip")
DIGITS = 3  # of the density that fits
_HALVINGS = 40


@dataclass(frozen=True)
class Fit:
    """How a training stands to a memory."""

    memory: Figure  # B, what there is
    dense: bool
    sparse: bool  # outside scouting
    scouting: bool  # at every moment
    density: float | None  # the largest that fits at every moment; None: none does
    density_without_scouting: float | None  # and where the topology stays as it was drawn

    def json(self) -> dict[str, Any]:
        """With the memory as `Figure.json` has it."""
        return vars(self) | {"memory": self.memory.json()}


def fit(peaks: Peaks, memory: Figure, sparse: Half, dense: Half) -> Fit:
    """Whether it fits, and which density would."""
    room = memory.value
    return Fit(
        memory,
        dense=dense.peak.value <= room,
        sparse=sparse.steady.value <= room,
        scouting=sparse.peak.value <= room,
        density=_largest(peaks.at, room),
        density_without_scouting=_largest(peaks.steady, room),
    )


class Peaks:
    """Peak bytes over density: steps are rehearsed at two densities; between and beyond them what a step holds goes
    with the number of weights, each of which has its value, three indices, a gradient and optimizer state."""

    def __init__(self, work: Work, found: Rehearsed) -> None:
        self._work, self._here = work, found

    def steady(self, density: float) -> float:
        """Without scouting and rewiring."""
        return self._between(density, False, lambda step: step.peak)

    def at(self, density: float) -> float:
        """At every moment."""
        if not self._work.calendar.scouting:
            return self.steady(density)
        parts = (lambda s: s.end, lambda s: s.held.optimizer, lambda s: s.held.scouting)
        end, optimizer, scouting = (self._between(density, True, part) for part in parts)
        rewiring = rewiring_peak(self._nnz(density), end, optimizer, scouting)
        return max(self.steady(density), self._between(density, True, lambda step: step.peak), rewiring)

    def _nnz(self, density: float) -> list[int]:
        return list(counts(self._here.shapes, density, self._work.sparse.budget).values())

    def _between(self, density: float, scouting: bool, of: Callable[[Step], float]) -> float:
        kind = self._here.largest(scouting)
        here, known = of(self._here.steps[kind]), sum(self._here.nnz)
        weights, steps = self._there
        if weights == known:  # a budget that names every layer: at any density the same network
            return here
        return here + (of(steps[kind]) - here) / (weights - known) * (sum(self._nnz(density)) - known)

    @functools.cached_property
    def _there(self) -> tuple[int, dict[Kind, Step]]:
        """At another density: weights, and the steps with the largest batches."""
        twin = self._work.rehearsal(self._here.density / 2 if self._here.density > 0.5 else 1.0)
        kinds = dict.fromkeys(self._here.largest(scouting) for scouting in (False, True))
        steps = {kind: twin.step(*self._work.batch(kind.batch), scouting=kind.scouting) for kind in kinds}
        return sum(twin.nnz()), steps


def _largest(peak: Callable[[float], float], room: float) -> float | None:
    """The largest density with three digits that fits; None where not even the smallest does. Peaks rise with it."""

    def fits(density: float) -> bool:
        try:
            return peak(density) <= room
        except UsageError:  # fewer weights than layers
            return False

    if fits(1.0):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high) if low else high / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    low = _rounded_down(low)
    return low if low and fits(low) else None


def _rounded_down(density: float) -> float:
    if density <= 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(density)) + 1 - DIGITS)
    return min(round(math.floor(density / step + 1e-9) * step, 12), 1.0)
