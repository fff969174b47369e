"""Several forms as one answer: their draws, each form counting as much as its extrapolation earned it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tithe.forecast.forms import Array, Flags
from tithe.forecast.interval import Draws, log_errors


@dataclass(frozen=True)
class Band:
    """A quantity and the interval it lies in at the level asked for; ends may be infinite."""

    value: float  # the median
    low: float
    high: float


@dataclass(frozen=True)
class Mixture:
    """Draws of the forms with their weights; x = log(C / C_top) throughout."""

    parts: tuple[tuple[float, Draws], ...]  # weight, draws
    level: float  # of intervals, 0.9
    seed: int

    def draws(self, name: str) -> Draws:
        """Those of one form."""
        return next(draws for _, draws in self.parts if draws.form.name == name)

    def band(self, values: Array) -> Band:
        """Median and interval of one number a draw: [draws of all parts], in their order."""
        low, value, high = weighted_quantiles(values[:, None], self._weights(), self._levels())[:, 0]
        return Band(float(value), float(low), float(high))

    def errors(self, x: Array, new_run: bool = False) -> tuple[Array, Array, Array]:
        """Low, median and high error at x, [m] each: of the curve, or of a new run with its noise."""
        rng = np.random.default_rng(self.seed)
        logs = np.concatenate([log_errors(draws, x, rng if new_run else None) for _, draws in self.parts])
        low, value, high = np.exp(weighted_quantiles(logs, self._weights(), self._levels()))
        return low, np.minimum(np.maximum(value, low), high), high

    def now(self) -> Array:
        """The error at C_top, one a draw."""
        return np.concatenate([draws.form.value(draws.theta, np.zeros(1))[:, 0] for _, draws in self.parts])

    def reached(self, error: float) -> Array:
        """The x at which a draw reaches the error: [draws], infinite where it never does."""
        return np.concatenate([draws.form.inverse(draws.theta, error) for _, draws in self.parts])

    def halved(self) -> Array:
        """The x at which a draw has half of its own error at C_top: [draws]."""
        return np.concatenate([halving(draws) for _, draws in self.parts])

    def share(self, condition: Flags) -> float:
        """How much of the weight the draws have of which something holds: 0 to 1."""
        return float(self._weights()[condition].sum())

    def _weights(self) -> Array:
        each = [np.full(len(draws.theta), weight / len(draws.theta)) for weight, draws in self.parts]
        joined = np.concatenate(each)
        return joined / joined.sum()

    def _levels(self) -> tuple[float, float, float]:
        return (1 - self.level) / 2, 0.5, (1 + self.level) / 2


def halving(draws: Draws) -> Array:
    """x at half the error of C_top: ((e - E) / (e/2 - E))^(1/a) is its exponential; infinite where e/2 <= E."""
    now = draws.form.value(draws.theta, np.zeros(1))[:, 0]
    return draws.form.inverse(draws.theta, now / 2)


def weighted_quantiles(values: Array, weights: Array, levels: tuple[float, ...]) -> Array:
    """Quantiles over the first axis, without interpolation, since values may be infinite.

    values [draws, m], weights [draws] that add up to 1 -> [levels, m].
    """
    order = np.argsort(values, 0)
    sorted_values = np.take_along_axis(values, order, 0)
    passed = np.cumsum(weights[order], 0)
    places = [np.minimum((passed < level).sum(0), len(values) - 1) for level in levels]
    return np.stack([np.take_along_axis(sorted_values, place[None], 0)[0] for place in places])
