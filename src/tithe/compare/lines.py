"""Total cost over the number of inferences: cost(n) = training + n * inference, a straight line for each tactic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple


class Line(NamedTuple):
    """What a tactic costs, in one unit."""

    training: float
    inference: float  # of one

    def at(self, n: float) -> float:
        """The total for n inferences."""
        return self.training + n * self.inference


class Reign(NamedTuple):
    """From how many inferences on, and until how many, a tactic is the cheapest."""

    name: str
    start: float
    end: float  # infinite for the last one


def overtakes(challenger: Line, other: Line) -> float:
    """From how many inferences on the challenger costs less and goes on to: 0 from the start, infinite for never."""
    saved, extra = other.inference - challenger.inference, challenger.training - other.training
    if saved < 0 or (saved == 0 and extra >= 0):
        return math.inf
    return max(0.0, extra / saved) if saved else 0.0


def cheapest(lines: Mapping[str, Line]) -> list[Reign]:
    """Which tactic is cheapest for which numbers of inferences: the lower envelope of the lines, from 0 to infinity."""
    reigns: list[Reign] = []
    now = min(lines, key=lambda name: lines[name])  # least training; among equals least inference
    start = 0.0
    while True:
        later = {name: overtakes(line, lines[now]) for name, line in lines.items() if _below(line, lines[now])}
        if not later:
            return [*reigns, Reign(now, start, math.inf)]
        # Of those that overtake at the same number the one with the least inference stays below the others.
        after = min(later, key=lambda name: (later[name], lines[name].inference))
        if later[after] > start:
            reigns.append(Reign(now, start, later[after]))
        now, start = after, max(start, later[after])


def _below(line: Line, current: Line) -> bool:
    return line.inference < current.inference


def pareto(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """The names of the points (cost, error) that no other is at least as good as in both and better in one, by cost."""
    front: list[str] = []
    best = math.inf
    for name in sorted(points, key=lambda name: points[name]):
        cost, error = points[name]
        if error < best or (front and points[front[-1]] == (cost, error)):
            front.append(name)
            best = error
    return front
