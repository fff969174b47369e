"""The forms an error may follow as a run grows: power law, power law with a floor, exponential with a floor.

Every form is a function of x = log(C / C_top), C being compute (or labels, or parameters) and C_top that of the largest
run of the fit, so x <= 0 where there are runs. Its parameters theta are logarithms, so that all of them stay positive.
All arrays are batched: theta [..., p], x [..., n]. Errors are fractions, 0 to 1.
"""

from __future__ import annotations

import abc
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Counts = NDArray[np.int_]

TINY = 1e-300  # keeps logarithms finite
_FLOOR_STARTS = (1e-3, 0.4, 0.7, 0.88, 0.97)  # the floor over the smallest error seen, one start of the fit each
_RATE_STARTS = (-1.0, 0.0, 1.0)  # log of C_top over the scale of the exponential


class Line(NamedTuple):
    """y = intercept + slope x."""

    intercept: Array  # [...]
    slope: Array  # [...]


def weighted_line(x: Array, y: Array, weights: Array) -> Line:
    """Least squares over the last axis; x, y, weights [..., n]."""
    total = weights.sum(-1)
    mean_x, mean_y = (weights * x).sum(-1) / total, (weights * y).sum(-1) / total
    away = x - mean_x[..., None]
    slope = (weights * away * (y - mean_y[..., None])).sum(-1) / np.maximum((weights * away**2).sum(-1), TINY)
    return Line(mean_y - slope * mean_x, slope)


class Form(abc.ABC):
    """How an error falls. Without state: one instance a form, in `FORMS`."""

    name: str
    equation: str  # with places for exp(theta) and C_top
    has_floor = True
    has_exponent = True
    parameters: tuple[str, ...]  # theta, in its order
    low: tuple[float, ...]  # bounds of theta
    high: tuple[float, ...]

    @abc.abstractmethod
    def value(self, theta: Array, x: Array) -> Array:
        """The error at x: [..., n]."""

    @abc.abstractmethod
    def gradient(self, theta: Array, x: Array) -> Array:
        """d error / d theta: [..., n, p]."""

    @abc.abstractmethod
    def inverse(self, theta: Array, error: Array | float) -> Array:
        """The x at which the error is reached: [...]; infinite where it never is."""

    @abc.abstractmethod
    def starts(self, x: Array, log_error: Array, weights: Array, least: Array) -> Array:
        """Where a fit begins, several of them: [..., s, p]. x, log_error, weights [..., n]; least error seen [...]."""

    def floor(self, theta: Array) -> Array:
        """What the error falls to, and never below: [...]."""
        return np.exp(theta[..., 0])


class PowerLaw(Form):
    """error = A (C / C_top)^-a."""

    name = "power_law"
    equation = "error = {} (C / {top})^-{}"
    has_floor = False
    parameters = ("log_a_error", "log_slope")
    low, high = (-8.0, -6.0), (6.0, 2.3)

    def value(self, theta: Array, x: Array) -> Array:
        return np.exp(theta[..., 0:1] - np.exp(theta[..., 1:2]) * x)

    def gradient(self, theta: Array, x: Array) -> Array:
        value = self.value(theta, x)
        return np.stack([value, -np.exp(theta[..., 1:2]) * x * value], -1)

    def inverse(self, theta: Array, error: Array | float) -> Array:
        return (theta[..., 0] - np.log(error)) / np.exp(theta[..., 1])

    def starts(self, x: Array, log_error: Array, weights: Array, least: Array) -> Array:
        line = weighted_line(x, log_error, weights)
        return np.stack([line.intercept, _log(-line.slope)], -1)[..., None, :]

    def floor(self, theta: Array) -> Array:
        return np.zeros(theta.shape[:-1])


class FlooredPowerLaw(Form):
    """error = E + A (C / C_top)^-a."""

    name = "with_floor"
    equation = "error = {} + {} (C / {top})^-{}"
    parameters = ("log_floor", "log_a_error", "log_slope")
    low, high = (-12.0, -15.0, -4.6), (1.0, 6.0, 2.3)

    def value(self, theta: Array, x: Array) -> Array:
        return np.exp(theta[..., 0:1]) + self._falling(theta, x)

    def gradient(self, theta: Array, x: Array) -> Array:
        falling = self._falling(theta, x)
        floor = np.broadcast_to(np.exp(theta[..., 0:1]), falling.shape)
        return np.stack([floor, falling, -np.exp(theta[..., 2:3]) * x * falling], -1)

    def inverse(self, theta: Array, error: Array | float) -> Array:
        above = error - self.floor(theta)
        reached = (theta[..., 1] - _log(above)) / np.exp(theta[..., 2])
        return np.where(above > 0, reached, np.inf)

    def starts(self, x: Array, log_error: Array, weights: Array, least: Array) -> Array:
        made = []
        for share in _FLOOR_STARTS:
            line = weighted_line(x, _log(np.exp(log_error) - share * least[..., None]), weights)
            made.append(np.stack([_log(share * least), line.intercept, _log(-line.slope)], -1))
        return np.stack(made, -2)

    def _falling(self, theta: Array, x: Array) -> Array:
        return np.exp(np.minimum(theta[..., 1:2] - np.exp(theta[..., 2:3]) * x, 50))  # e^50: no overflow on the way


class Exponential(Form):
    """error = E + A exp(-r C / C_top): the last part falls fast, then nothing is to be had."""

    name = "exponential"
    equation = "error = {} + {} exp(-{} C / {top})"
    has_exponent = False
    parameters = ("log_floor", "log_a_error", "log_rate")
    low, high = (-12.0, -15.0, -6.0), (1.0, 6.0, 3.0)

    def value(self, theta: Array, x: Array) -> Array:
        return np.exp(theta[..., 0:1]) + self._falling(theta, x)

    def gradient(self, theta: Array, x: Array) -> Array:
        falling = self._falling(theta, x)
        floor = np.broadcast_to(np.exp(theta[..., 0:1]), falling.shape)
        return np.stack([floor, falling, -self._turns(theta, x) * falling], -1)

    def inverse(self, theta: Array, error: Array | float) -> Array:
        above = error - self.floor(theta)
        turns = theta[..., 1] - _log(above)
        reached = np.where(turns > 0, _log(turns) - theta[..., 2], -np.inf)  # better than the error of no compute
        return np.where(above > 0, reached, np.inf)

    def starts(self, x: Array, log_error: Array, weights: Array, least: Array) -> Array:
        made = []
        for share in _FLOOR_STARTS[1::2]:
            log_above = _log(np.exp(log_error) - share * least[..., None])
            for rate in _RATE_STARTS:
                line = weighted_line(np.exp(x + rate), log_above, weights)
                made.append(np.stack([_log(share * least), line.intercept, _log(-line.slope) + rate], -1))
        return np.stack(made, -2)

    def _turns(self, theta: Array, x: Array) -> Array:
        return np.exp(np.minimum(theta[..., 2:3] + x, 6))  # exp(-e^6) is 0 already

    def _falling(self, theta: Array, x: Array) -> Array:
        return np.exp(theta[..., 1:2] - self._turns(theta, x))


FORMS: tuple[Form, ...] = (PowerLaw(), FlooredPowerLaw(), Exponential())


def _log(positive: Array) -> Array:
    """The logarithm; of what is not positive, that of very little."""
    return np.log(np.maximum(positive, 1e-6))
