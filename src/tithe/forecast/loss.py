"""How much a residual counts: robust losses of log errors, as a function and as the weights of reweighted squares."""

from __future__ import annotations

import abc

import numpy as np

from tithe.forecast.forms import TINY, Array

_SMOOTH = 0.02  # of the scale: within it the pinball is a parabola, so that it has a slope everywhere


class Loss(abc.ABC):
    """Of residuals fit - run [..., n], given the scale of the noise [..., 1]; for small residuals in squared units."""

    middle = True  # the curve goes through the middle of the runs, not along an edge of them

    @abc.abstractmethod
    def of(self, residual: Array, scale: Array) -> Array:
        """The loss: [..., n]."""

    @abc.abstractmethod
    def weights(self, residual: Array, scale: Array) -> Array:
        """w, so that w residual^2 touches the loss from above: [..., n]."""


class Square(Loss):
    """residual^2."""

    def of(self, residual: Array, scale: Array) -> Array:
        return residual**2

    def weights(self, residual: Array, scale: Array) -> Array:
        return np.ones_like(residual)


class Huber(Loss):
    """Squared up to k scales, linear beyond: an outlier pulls no harder than that (Huber 1964)."""

    def __init__(self, k: float) -> None:
        self.k = k

    def of(self, residual: Array, scale: Array) -> Array:
        size, bound = np.abs(residual), self.k * scale
        return np.where(size <= bound, size**2, bound * (2 * size - bound))

    def weights(self, residual: Array, scale: Array) -> Array:
        return np.minimum(1.0, self.k * scale / np.maximum(np.abs(residual), TINY))


class Pinball(Loss):
    """Least for the curve with a fraction tau of the runs below it: quantile regression (Koenker & Bassett 1978)."""

    middle = False

    def __init__(self, tau: float) -> None:
        self.tau = tau

    def of(self, residual: Array, scale: Array) -> Array:
        near = _SMOOTH * scale
        size = np.abs(residual)
        smooth = np.where(size < near, residual**2 / (2 * near) + near / 2, size)
        return 2 * scale * self._side(residual) * smooth

    def weights(self, residual: Array, scale: Array) -> Array:
        return scale * self._side(residual) / np.maximum(np.abs(residual), _SMOOTH * scale)

    def _side(self, residual: Array) -> Array:
        """A run below the curve is one of the few: it counts 1 - tau."""
        return np.where(residual > 0, 1 - self.tau, self.tau)


TYPICAL = Huber(2.0)


def spread(residual: Array, seen: Array) -> Array:
    """Standard deviation about 0 of the residuals that are seen, from their median size, deaf to outliers: [..., 1]."""
    size = np.sort(np.where(seen > 0, np.abs(residual), np.inf), -1)
    middle = np.broadcast_to(((seen > 0).sum(-1) // 2)[..., None], (*residual.shape[:-1], 1))
    return 1.4826 * np.take_along_axis(size, middle, -1)  # of a normal distribution
