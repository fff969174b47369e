"""What the runs leave open: curves drawn by a bootstrap, and the noise of the next run about its curve.

Each replicate draws the size of the noise (by its degrees of freedom: a few runs hardly tell it), gives every run
another error, as noisy about its own as that, moves what was assumed within its spread, and fits again. For a straight
line and normal noise that is Student's interval, which holds for any number of runs.

A curve along an edge of the runs (a quantile) can't be had from noise about it. There each replicate weighs the runs
anew (Dirichlet weights, the Bayesian bootstrap of Rubin 1981: drawing with replacement would leave out a third of
them), and adds the share of the noise that the curve has swallowed (p parameters swallow p/n of it).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tithe.forecast.fitting import Fit, least_error, search
from tithe.forecast.forms import TINY, Array, Form
from tithe.forecast.loss import Loss
from tithe.forecast.prior import freedom, prior

DRAWS = 400  # of each form
_STEPS = 25  # of a replicate's fit


class Draws(NamedTuple):
    """Curves of one form, all of them possible."""

    form: Form
    theta: Array  # [draws, p]
    noise: Array  # standard deviation of log errors about the curve [draws]


def draw(form: Form, x: Array, log_error: Array, fitted: Fit, loss: Loss, rng: np.random.Generator) -> Draws:
    """Replicates of a fit; x, log_error [n]."""
    runs, parameters = len(x), len(form.parameters)
    free = freedom(np.array(runs), parameters)
    noise = np.sqrt(fitted.variance * free / rng.chisquare(free, DRAWS))
    weights, moved = _redrawn(log_error, noise, parameters, loss, rng)
    least = np.broadcast_to(least_error(log_error, np.ones(runs)), (DRAWS,))
    pull = prior(form, least, noise**2, rng.standard_normal((DRAWS, parameters)))
    theta = search(form, np.broadcast_to(x, moved.shape), moved, weights, loss, noise[:, None], pull, _STEPS)
    return Draws(form, theta, noise)


def _redrawn(
    log_error: Array, noise: Array, parameters: int, loss: Loss, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Weights and log errors of the replicates: [draws, n] each."""
    shape = (len(noise), len(log_error))
    if loss.middle:
        return np.ones(shape), log_error + noise[:, None] * rng.standard_normal(shape)
    weights = rng.dirichlet(np.ones(shape[1]), shape[0]) * shape[1]
    swallowed = noise * np.sqrt(min(1.0, parameters / shape[1]))
    return weights, log_error + swallowed[:, None] * rng.standard_normal(shape)


def log_errors(draws: Draws, x: Array, rng: np.random.Generator | None) -> Array:
    """Log errors at x [m]: [draws, m], with the noise of a new run where a generator is given.

    A draw's noise is the same at every x, so that an interval drawn over x is smooth.
    """
    on_curve = np.log(np.maximum(draws.form.value(draws.theta, x), TINY))
    return on_curve if rng is None else on_curve + (draws.noise * rng.standard_normal(len(draws.noise)))[:, None]
