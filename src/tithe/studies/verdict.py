"""Verdicts are tests on numbers with intervals: a claim holds, does not hold, or is not decided."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Literal

from tithe.compare.stats import interval
from tithe.cost.figure import Figure, How

Verdict = Literal["holds", "does not hold", "not decided"]
HOLDS: Verdict = "holds"
FAILS: Verdict = "does not hold"
OPEN: Verdict = "not decided"
ENDS = ("", "_low", "_high")
"""Of the names of columns: a mean and the ends of its interval."""


def between(found: Figure, low: float = -math.inf, high: float = math.inf) -> Verdict:
    """Whether a figure is between `low` and `high`: its whole interval decides.

    Inside: holds. Outside: does not hold. Astride a bound: not decided. What is measured without an interval decides
    nothing; what is counted needs none.

    >>> between(Figure(2.0, "1", "measured", 1.9, 2.1), 1.8, 2.2)
    'holds'
    >>> between(Figure(2.0, "1", "measured", 1.7, 2.3), 1.8, 2.2)
    'not decided'
    >>> between(Figure(2.0, "1", "measured"), 1.8, 2.2)
    'not decided'
    """
    if not found.has_interval and found.how != "counted":
        return OPEN
    if low <= found.least and found.most <= high:
        return HOLDS
    return FAILS if found.most < low or found.least > high else OPEN


def above(found: Figure, bound: float = 0.0) -> Verdict:
    """Whether a figure is above `bound`."""
    return between(found, low=bound)


def below(found: Figure, bound: float = 0.0) -> Verdict:
    """Whether a figure is below `bound`."""
    return between(found, high=bound)


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Of a claim with several parts: one that fails is enough, and all must hold."""
    found = list(verdicts)
    if FAILS in found:
        return FAILS
    return OPEN if OPEN in found or not found else HOLDS


def mean(values: Sequence[float], unit: str, source: str = "", how: How = "measured") -> Figure:
    """The mean with its 95 % t interval over seeds.

    No interval where there is one value, or where all are equal: accuracies of a few hundred examples are, now and
    then, and that is no certainty.
    """
    ends = interval(values)
    value = statistics.fmean(values)
    if ends is None or min(values) == max(values):
        return Figure(value, unit, how, source=source)
    return Figure(value, unit, how, min(ends[0], value), max(ends[1], value), source)  # rounding


def says(figure: Figure, form: str = ".3g") -> str:
    """2.03 [1.98, 2.08]; without the interval where there is none, or where it shows the same number."""
    value, low, high = (f"{number:{form}}" for number in (figure.value, figure.least, figure.most))
    return value if low == high else f"{value} [{low}, {high}]"


def ends(name: str, figure: Figure) -> dict[str, float | None]:
    """Value and ends of the interval, for the columns `study.with_ends` of that name; None where not finite."""
    finite = math.isfinite(figure.value)
    numbers = (figure.value, figure.low, figure.high) if finite else (None, None, None)
    return {f"{name}{end}": number for end, number in zip(ENDS, numbers, strict=True)}
