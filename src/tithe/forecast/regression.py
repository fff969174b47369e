"""The published method, to be set beside ours: ordinary least squares of log10(error) on log10(compute).

Thompson, Greenewald, Lee & Manso, "The Computational Limits of Deep Learning" (arXiv 2007.05558): with slope b, compute
grows as the -1/b-th power of the improvement; the interval is that of b by Student's t, turned over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tithe.forecast.forms import TINY, Array

LEVEL = 0.95


@dataclass(frozen=True)
class Regression:
    """A straight line through the logarithms."""

    exponent: float  # compute grows as this power of the improvement
    low: float  # of its 95 % interval
    high: float  # infinite where the interval of the slope holds 0: compute explains nothing
    runs: int
    r2: float
    p: float  # of a slope this far from 0 where there is none
    slope: float
    intercept: float

    def log10_compute(self, error: float) -> float:
        """log10 of the compute at which the line reaches the error."""
        return float(np.log10(error) - self.intercept) / self.slope


def regression(compute: Array, error: Array) -> Regression:
    """The line through the logs of compute and error, [n] each."""
    from scipy.special import stdtr, stdtrit  # Student's t: its distribution function, and that turned over

    x, y, free = np.log10(compute), np.log10(error), len(compute) - 2
    away = x - x.mean()
    slope = (away @ y) / (away @ away)
    left = y - y.mean() - slope * away
    spread = np.sqrt(left @ left / free / (away @ away))  # of the slope
    reach = spread * stdtrit(free, (1 + LEVEL) / 2)
    low, high = _turned_over(slope - reach, slope + reach)
    unexplained = (left @ left) / max((y - y.mean()) @ (y - y.mean()), TINY)
    return Regression(
        _inverse(slope),
        low,
        high,
        len(compute),
        float(1 - unexplained),
        float(2 * stdtr(free, -abs(slope) / max(spread, TINY))),
        float(slope),
        float(y.mean() - slope * x.mean()),
    )


def exponent_with_year(compute: Array, error: Array, year: Array) -> tuple[float, float]:
    """(exponent, share of the error that remains a year later at the same compute); all [n]."""
    columns = np.stack([np.ones(len(compute)), np.log10(compute), year - np.mean(year)], -1)
    _, slope, yearly = np.linalg.lstsq(columns, np.log10(error), rcond=None)[0]
    return float(_inverse(slope)), float(10**yearly)


def quantile_line(compute: Array, error: Array, tau: float) -> tuple[float, float]:
    """(slope, intercept) of the line with a fraction tau of the runs below it, exactly: a linear programme.

    minimise sum of tau u + (1 - tau) v where log10 error = intercept + slope log10 compute + u - v (Koenker & Bassett
    1978).
    """
    from scipy.optimize import linprog

    runs = len(compute)
    columns = np.stack([np.ones(runs), np.log10(compute)], -1)
    found = linprog(
        np.concatenate([np.zeros(2), np.full(runs, tau), np.full(runs, 1 - tau)]),
        A_eq=np.concatenate([columns, np.eye(runs), -np.eye(runs)], -1),
        b_eq=np.log10(error),
        bounds=[(None, None)] * 2 + [(0, None)] * (2 * runs),
    )
    return float(found.x[1]), float(found.x[0])


def _turned_over(steep: float, flat: float) -> tuple[float, float]:
    """-1/b of the ends of an interval of slopes, b < 0 being an improvement."""
    if steep >= 0:
        return np.inf, np.inf
    return float(-1 / steep), float(-1 / flat) if flat < 0 else np.inf


def _inverse(slope: float) -> float:
    return float(-1 / slope) if slope else np.inf
