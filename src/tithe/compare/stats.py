"""What a few seeds say: means with their intervals, and which differences are larger than noise."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
LEVEL = 0.05  # of the tests, all of them together

Verdict = Literal["lowest", "not told apart", "worse", "untested"]


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The t interval of the mean, mean +- t s / sqrt(n); None for fewer than two values."""
    if len(values) < 2:
        return None
    mean, error = statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))
    if error == 0:
        return mean, mean
    low, high = stats.t.interval(CONFIDENCE, len(values) - 1, loc=mean, scale=error)
    return float(low), float(high)


@dataclass(frozen=True)
class Judged:
    """How one tactic's errors compare with those of the tactic with the lowest mean."""

    verdict: Verdict
    p: float | None = None  # of Welch's t-test, corrected; None where it cannot be made


def against_lowest(errors: Mapping[str, Sequence[float]]) -> dict[str, Judged]:
    """Welch's t-test of each tactic against the one with the lowest mean, corrected for their number by Holm's method.

    Args:
        errors: name -> one test error a seed.
    """
    lowest = min(errors, key=lambda name: statistics.fmean(errors[name]))
    raw = {name: welch(errors[name], errors[lowest]) for name in errors if name != lowest}
    testable = {name: p for name, p in raw.items() if p is not None}
    corrected = dict(zip(testable, holm(list(testable.values())), strict=True))
    found = {lowest: Judged("lowest")} | {name: Judged("untested") for name in raw}
    for name, p in corrected.items():
        found[name] = Judged("worse" if p < LEVEL else "not told apart", p)
    return {name: found[name] for name in errors}


def welch(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Two-sided p of Welch's t-test; None where fewer than two seeds, or no spread at all, leave nothing to go by."""
    if min(len(first), len(second)) < 2:
        return None
    if statistics.pvariance(first) == statistics.pvariance(second) == 0:
        return 1.0 if first[0] == second[0] else None
    known = [
        fact for values in (first, second) for fact in (statistics.fmean(values), statistics.stdev(values), len(values))
    ]
    p = float(np.asarray(stats.ttest_ind_from_stats(*known, equal_var=False))[1])  # from values it warns of close ones
    return None if math.isnan(p) else p


def differ(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether the means are told apart, by Welch's test or because neither varies; one seed tells nothing apart."""
    if min(len(first), len(second)) < 2:
        return False
    p = welch(first, second)
    return first[0] != second[0] if p is None else p < LEVEL


def holm(p: Sequence[float]) -> list[float]:
    """Corrected for their number: the k-th smallest of m times m - k + 1, never below a smaller one's (Holm 1979)."""
    order = sorted(range(len(p)), key=lambda place: p[place])
    corrected, highest = [0.0] * len(p), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - rank) * p[place]))
        corrected[place] = highest
    return corrected
