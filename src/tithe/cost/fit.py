"""Whether a training fits into a memory, and at which density it would."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tithe.cost.figure import Figure
from tithe.cost.half import Half, Work

ON_CHIP = Figure(300e6, "B", "assumed", source="an accelerator of 2020 with 300 MB on chip")
_DIGITS = 3


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
    """Whether it fits; the largest density by interpolation between two rehearsed ones, then rehearsed itself.

    Memory rises with the density along a line: each weight has its value, three indices, gradient and optimizer state.
    """
    room = memory.value
    return Fit(
        memory,
        dense=dense.peak.value <= room,
        sparse=sparse.steady.value <= room,
        scouting=sparse.peak.value <= room,
        density=_largest(peaks, room, scouting=True),
        density_without_scouting=_largest(peaks, room, scouting=False),
    )


class Peaks:
    """Peak bytes over density; rehearses each density once."""

    def __init__(self, work: Work, known: Half) -> None:
        self._work = work
        self._found = {known.density: (known.steady.value, known.peak.value)}
        self._batch = max(kind.batch for kind in work.calendar.steps)
        self._scouts = any(kind.scouting for kind in work.calendar.steps)
        self.known = known.density
        self.other = known.density / 2 if known.density > 0.5 else 1.0

    def at(self, density: float, scouting: bool) -> float:
        """Bytes, outside scouting or at every moment."""
        if density not in self._found:
            twin = self._work.rehearsal(density)
            steady = twin.step(*self._work.batch(self._batch)).peak
            peak = twin.step(*self._work.batch(self._batch), scouting=True).peak if self._scouts else steady
            self._found[density] = (steady, max(steady, peak))
        return self._found[density][scouting]


def _largest(peaks: Peaks, room: float, scouting: bool) -> float | None:
    """The largest density with three digits that fits; None where not even the smallest does."""
    here, there = (peaks.at(density, scouting) for density in (peaks.known, peaks.other))
    slope = (there - here) / (peaks.other - peaks.known)
    density = min(peaks.known + (room - here) / slope, 1.0) if slope > 0 else float(here <= room)
    for _ in range(4):
        density = _rounded_down(density)
        if density <= 0:
            return None
        try:
            excess = peaks.at(density, scouting) - room
        except ValueError:  # fewer weights than layers
            return None
        if excess <= 0:
            return density
        density -= max(excess / slope, density * 10**-_DIGITS) if slope > 0 else density
    return None


def _rounded_down(density: float) -> float:
    if density <= 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(density)) + 1 - _DIGITS)
    return min(round(math.floor(density / step + 1e-9) * step, 12), 1.0)
