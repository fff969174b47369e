"""Fitting a form to runs: residuals of log errors, robust, from many starts, a whole batch of data sets at once.

Levenberg-Marquardt on reweighted squares. Own code rather than scipy.optimize, because a bootstrap fits hundreds of
data sets of the same size: in one batch they take tenths of a second, one after the other ten seconds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tithe.forecast.forms import TINY, Array, Form
from tithe.forecast.loss import Huber, Loss, Square, spread
from tithe.forecast.prior import NOISE, Prior, prior, variance

STEPS = 40
_LONGEST = 2.0  # of a step, in log units
_DAMPING, _LESS, _MORE = 1e-2, 0.3, 5.0


class Fit(NamedTuple):
    """A batch of fitted curves."""

    theta: Array  # [..., p]
    variance: Array  # of log errors about the curve [...]


class Problem(NamedTuple):
    """What is minimised: sum of weight x loss(fit - run) + pull of the prior. With an axis for the starts."""

    form: Form
    x: Array  # [..., 1, n]
    log_error: Array  # [..., 1, n]
    weights: Array  # [..., 1, n]
    loss: Loss
    scale: Array  # of the noise [..., 1, 1]
    pull: Prior

    def residual(self, theta: Array) -> Array:
        """fit - run, of the logs: [..., s, n]."""
        return np.log(np.maximum(self.form.value(theta, self.x), TINY)) - self.log_error

    def cost(self, theta: Array) -> Array:
        """[..., s]."""
        runs = (self.weights * self.loss.of(self.residual(theta), self.scale)).sum(-1)
        return runs + (self.pull.strength * (theta - self.pull.centre) ** 2).sum(-1)


def fit(form: Form, x: Array, log_error: Array, seen: Array, loss: Loss) -> Fit:
    """Fit a form to runs; x, log_error, seen [..., n], `seen` 0 for runs that are left out, x <= 0 for the others.

    Three times: how hard the prior pulls and what is an outlier depend on the noise, which a first fit tells.
    """
    least, runs = least_error(log_error, seen), (seen > 0).sum(-1)
    noise, scale = np.full(runs.shape, NOISE**2), np.full((*runs.shape, 1), NOISE)
    theta = np.empty(0)
    for each in (Square(), loss, loss):
        theta = search(form, x, log_error, seen, each, scale, prior(form, least, noise))
        residual = np.log(np.maximum(form.value(theta, x), TINY)) - log_error
        scale = np.maximum(spread(residual, seen), NOISE)
        squares = (seen * Huber(3.0).weights(residual, scale) * residual**2).sum(-1)
        noise = variance(squares, runs, len(form.parameters))
    return Fit(theta, noise)


def search(
    form: Form,
    x: Array,
    log_error: Array,
    weights: Array,
    loss: Loss,
    scale: Array,
    pull: Prior,
    steps: int = STEPS,
) -> Array:
    """The best theta over all starts: [..., p]. x, log_error, weights [..., n], scale [..., 1]."""
    theta = form.starts(x, log_error, weights, least_error(log_error, weights))
    x, log_error, weights = (each[..., None, :] for each in (x, log_error, weights))
    problem = Problem(form, x, log_error, weights, loss, scale[..., None, :], pull)
    theta = _descend(problem, np.clip(theta, form.low, form.high), steps)
    best = problem.cost(theta).argmin(-1)[..., None, None]
    return np.take_along_axis(theta, best, -2)[..., 0, :]


def least_error(log_error: Array, seen: Array) -> Array:
    """The smallest error among those seen: [...]."""
    return np.exp(np.where(seen > 0, log_error, np.inf).min(-1))


def _descend(problem: Problem, theta: Array, steps: int) -> Array:
    """Levenberg-Marquardt from every start: theta [..., s, p]."""
    damping, cost = np.full(theta.shape[:-1], _DAMPING), problem.cost(theta)
    for _ in range(steps):
        tried = _step(problem, theta, damping)
        new = problem.cost(tried)
        better = new <= cost
        theta, cost = np.where(better[..., None], tried, theta), np.where(better, new, cost)
        damping = np.clip(np.where(better, damping * _LESS, damping * _MORE), 1e-9, 1e6)
    return theta


def _step(problem: Problem, theta: Array, damping: Array) -> Array:
    """One damped Gauss-Newton step."""
    form, pull = problem.form, problem.pull
    residual = problem.residual(theta)
    jacobian = form.gradient(theta, problem.x) / np.maximum(form.value(theta, problem.x), TINY)[..., None]
    weighted = jacobian * (problem.weights * problem.loss.weights(residual, problem.scale))[..., None]
    slope = (weighted * residual[..., None]).sum(-2) + pull.strength * (theta - pull.centre)
    unit = np.eye(theta.shape[-1])
    curvature = np.swapaxes(weighted, -1, -2) @ jacobian + unit * pull.strength[..., None, :]
    damped = curvature + unit * (curvature * damping[..., None, None] + 1e-10)
    move = np.linalg.solve(damped, slope[..., None])[..., 0]
    return np.clip(theta - np.clip(move, -_LONGEST, _LONGEST), form.low, form.high)
