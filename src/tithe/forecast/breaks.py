"""A slope that changed among the runs: found by a test, after which only the later runs say what comes next.

A broken line through the logarithms (three parameters and the place of the break) against what the forms allow without
a break: a power law, which is straight, or one with a floor, which flattens smoothly. Where the broken line is better
by far more than noise explains, none of them holds over all runs, and a curve fitted to all is wrong about the next.
Such breaks are common: a recipe changes with size, or a bottleneck is passed (Caballero et al. 2022, "Broken Neural
Scaling Laws", arXiv 2210.14891).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tithe.forecast.check import Runs
from tithe.forecast.fitting import fit
from tithe.forecast.forms import FORMS, TINY, Array
from tithe.forecast.loss import TYPICAL, Loss, spread

RARE = 0.005
"""How seldom runs without a break may be told to have one, by the F distribution."""
BEFORE, AFTER = 3, 4
"""Sizes on either side, at least: to show that a line goes wrong, and to make a forecast of."""
_PARAMETERS = 4  # of a broken line: height, two slopes, place
_ROUNDS = 6  # of reweighted squares
_EXACT = 0.004  # least noise, in logs: runs that lie on a line were not without


class Break(NamedTuple):
    """Where the slope changed."""

    at: float  # compute, labels or parameters
    before: int  # runs that the forecast leaves out
    after: int  # runs that it is made of


def after_break(runs: Runs, loss: Loss) -> tuple[Runs, Break | None]:
    """The runs that tell what comes next: all of them, or those after a break.

    Not sought where the curve goes along an edge of the runs: noise about it is not known.
    """
    x, y = np.log(runs.compute), np.log(runs.error)
    knots = _knots(x)
    if not loss.middle or not len(knots):
        return runs, None
    broken, whole = _broken(x, y, knots), _whole(x, y, loss)
    place, better = _compared(broken, whole)
    if better <= _threshold(len(x)):
        return runs, None
    later = x >= knots[place]
    found = Break(float(np.exp(knots[place])), int((~later).sum()), int(later.sum()))
    return Runs(runs.compute[later], runs.error[later]), found


def _knots(x: Array) -> Array:
    """Half way between neighbouring sizes, where enough of them are on either side: [k]."""
    sizes = np.unique(x)
    return ((sizes[1:] + sizes[:-1]) / 2)[BEFORE - 1 : max(0, len(sizes) - AFTER)]


def _broken(x: Array, y: Array, knots: Array) -> Array:
    """Residuals of the robust broken line at each knot: [k, n]."""
    columns = np.stack([np.ones((len(knots), len(x))), np.tile(x, (len(knots), 1)), _past(x, knots)], -1)
    weights = np.ones((len(knots), len(x)))
    residual = weights
    for _ in range(_ROUNDS):
        weighted = np.swapaxes(columns * weights[..., None], -1, -2)
        line = np.linalg.solve(weighted @ columns + 1e-12 * np.eye(3), weighted @ y[:, None])
        residual = (columns @ line)[..., 0] - y
        weights = TYPICAL.weights(residual, np.maximum(spread(residual, np.ones_like(y)), _EXACT))
    return residual


def _past(x: Array, knots: Array) -> Array:
    return np.maximum(x - knots[:, None], 0.0)


def _whole(x: Array, y: Array, loss: Loss) -> Array:
    """Residuals of the forms without a break: [2, n]. Not of the exponential, which can bend like one."""
    x, all_seen = x - x[-1], np.ones(len(x))
    curves = [form.value(fit(form, x, y, all_seen, loss).theta, x) for form in FORMS if form.has_exponent]
    return np.log(np.maximum(curves, TINY)) - y


def _compared(broken: Array, whole: Array) -> tuple[int, float]:
    """Which broken line is best, and by how much: (loss without - loss with) / loss with x degrees of freedom."""
    runs = broken.shape[-1]
    free = runs - _PARAMETERS
    scale = max(float(spread(broken, np.ones(runs)).min()) * np.sqrt(min(3.0, runs / free)), _EXACT)
    with_break, without = (TYPICAL.of(residual, np.array([scale])).sum(-1) for residual in (broken, whole))
    place = int(with_break.argmin())
    return place, float((without.min() - with_break[place]) / max(with_break[place], free * _EXACT**2) * free)


def _threshold(runs: int) -> float:
    """Of the F distribution with 1 and n - 4 degrees of freedom."""
    from scipy.special import fdtri

    return float(fdtri(1, runs - _PARAMETERS, 1 - RARE))
