"""Runs whose truth is known."""

import numpy as np

from tithe.forecast.forms import Array


def sizes(runs: int, decades: float, rng: np.random.Generator | None = None) -> Array:
    """Compute of runs, 1e15 FLOP and `decades` more, evenly apart or (with a generator) nearly so."""
    powers = np.linspace(0, decades, runs)
    if rng is not None:
        powers[1:-1] += rng.uniform(-0.3, 0.3, runs - 2) * decades / runs
    return 1e15 * 10**powers


def floored(compute: Array, floor: float, above: float, slope: float) -> Array:
    """floor + above (C / 1e15)^-slope."""
    return floor + above * (compute / 1e15) ** -slope


def noisy(error: Array, noise: float, rng: np.random.Generator) -> Array:
    """With normal noise of the log error."""
    return error * np.exp(noise * rng.standard_normal(error.shape))
