"""Weighing the forms by how they extrapolate: fit the smaller runs, predict the larger ones, from several origins.

A form that fits better need not extrapolate better: a pure power law fits most families of networks well, and was too
optimistic for nearly all of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tithe.forecast.fitting import fit
from tithe.forecast.forms import FORMS, TINY, Array, Counts, Form
from tithe.forecast.loss import Loss, Pinball
from tithe.forecast.prior import NOISE, NOISE_RUNS, SHARES

FEWEST = 3  # runs of an origin's fit
_SHARE = 0.4  # of the runs are in the first origin's fit, at least
_ORIGINS = 12  # at most


class Backtest(NamedTuple):
    """How each form extrapolated, in the order of `FORMS`."""

    origins: int  # fits on the smaller runs
    squares: tuple[float, ...]  # mean over origins of the mean squared error of the log error
    weights: tuple[float, ...]  # they add up to 1


def backtest(log_x: Array, log_error: Array, loss: Loss) -> Backtest:
    """Rolling origin over runs sorted by size, [n] each.

    weight ~ share x (r s^2 + t x mean of squares)^(-(r + t) / 2): the likelihood of the errors of t extrapolations,
    normal with unknown variance, where r assumed ones had an error of s. Origins next to each other predict nearly the
    same runs from nearly the same runs, so t counts only those with twice as many runs as the last.
    """
    origins = _origins(log_x)
    if not len(origins):
        return Backtest(0, (), _normalised(np.array(list(SHARES.values()))))
    seen = (np.arange(len(log_x)) < origins[:, None]).astype(float)
    x = log_x - log_x[origins - 1][:, None]  # each origin's largest run is at 0
    y = np.broadcast_to(log_error, x.shape)
    squares = np.array([_squares(fit(form, x, y, seen, loss).theta, form, x, y, seen, loss) for form in FORMS])
    trials = min(len(origins), 1 + np.log2(len(log_x) / origins[0]))
    likelihood = -(NOISE_RUNS + trials) / 2 * np.log(NOISE_RUNS * NOISE**2 + trials * squares.mean(-1))
    weights = np.array([SHARES[form.name] for form in FORMS]) * np.exp(likelihood - likelihood.max())
    return Backtest(len(origins), tuple(squares.mean(-1).tolist()), _normalised(weights))


def _origins(log_x: Array) -> Counts:
    """How many of the smallest runs are fitted each time; never between two runs of the same size."""
    first = max(FEWEST, round(_SHARE * len(log_x)))
    possible = np.arange(first, len(log_x))
    possible = possible[log_x[possible] > log_x[possible - 1]]
    distinct = np.array([len(np.unique(log_x[:origin])) for origin in possible], dtype=int)
    possible = possible[distinct >= FEWEST]
    if not len(possible):
        return possible
    return possible[np.unique(np.linspace(0, len(possible) - 1, _ORIGINS).round().astype(int))]


def _squares(theta: Array, form: Form, x: Array, y: Array, seen: Array, loss: Loss) -> Array:
    """Of the runs that were not seen, mean over them: [origins]."""
    residual = np.log(np.maximum(form.value(theta, x), TINY)) - y
    if isinstance(loss, Pinball):
        residual = np.sqrt(loss.of(residual, np.abs(residual)))
    return ((1 - seen) * residual**2).sum(-1) / (1 - seen).sum(-1)


def _normalised(weights: Array) -> tuple[float, ...]:
    return tuple((weights / weights.sum()).tolist())
