"""What is assumed before a run is seen. All of it is weak: it speaks where a handful of runs cannot, and not for long.

Three runs lie on a curve of three parameters exactly, which proves neither that runs have no noise nor that the curve
is right. So noise is assumed as long as there are fewer than two runs more than parameters, and floor and exponent
have a centre to which they are drawn as strongly as one such run would draw them. What is assumed is shown in every
result.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tithe.forecast.forms import Array, Form

NOISE = 0.012
"""Relative noise of an error: 50,000 test images leave 0.9 % of an error of 20 % open, seeds about as much again."""
NOISE_RUNS = 2
"""As many runs as this assumption counts for, less one for each run that there is more than parameters ..."""
NOISE_RUNS_LEFT = 0.25
"""... and never less than this: runs that lie on the curve exactly were not without noise."""

FLOOR, FLOOR_SPREAD = -0.4, 0.5
"""Log of the floor over the smallest error seen: two thirds of it, 25 % to 180 % in 19 of 20 cases. Centre and spread
were chosen with a look at timm's families, so the back-test on them is not blind in these two numbers."""
SLOPE, SLOPE_SPREAD = np.log(0.5), 1.0
"""Log of the slope a above the floor: 0.5 is that of an average over independent data; 0.07 to 3.5 in 19 of 20."""
RATE, RATE_SPREAD = 0.0, 1.0
"""Log of C_top over the scale of the exponential."""

SHARES = {"power_law": 1.0, "with_floor": 2.0, "exponential": 0.5}
"""Weights of the forms before they are tried on the user's runs: something is always left that no compute removes
(mislabelled examples alone), so the floor is believed more."""

_CENTRES = {
    "power_law": (0.0, 0.0),
    "with_floor": (FLOOR, 0.0, SLOPE),
    "exponential": (FLOOR, 0.0, RATE),
}
_SPREADS = {
    "power_law": (np.inf, np.inf),  # two parameters are known from four runs
    "with_floor": (FLOOR_SPREAD, np.inf, SLOPE_SPREAD),
    "exponential": (FLOOR_SPREAD, np.inf, RATE_SPREAD),
}


class Prior(NamedTuple):
    """A pull on theta: sum of strength (theta - centre)^2, in units of squared residuals."""

    centre: Array  # [..., 1, p]: the axis of the fit's starts
    strength: Array  # [..., 1, p]


def prior(form: Form, least: Array, variance: Array, offset: Array | None = None) -> Prior:
    """The pull on a form's theta.

    `least` error seen [...]; `variance` of the logs of errors [...]; `offset` [..., p] moves the centre by as many
    spreads: a bootstrap draws it, so that what the runs leave open stays open.
    """
    spread = np.array(_SPREADS[form.name])
    centre = np.broadcast_to(np.array(_CENTRES[form.name]), (*least.shape, len(spread))).copy()
    if np.isfinite(spread[0]):
        centre[..., 0] += np.log(least)
    if offset is not None:
        centre += np.where(np.isfinite(spread), spread, 0.0) * offset
    strength = variance[..., None] / spread**2
    return Prior(centre[..., None, :], strength[..., None, :])


def variance(squares: Array, runs: Array, parameters: int) -> Array:
    """Of the logs of errors: residuals and the assumed runs together; `squares` is the sum over residuals [...]."""
    assumed, spare = _assumed(runs, parameters), np.maximum(runs - parameters, 0)
    return (assumed * NOISE**2 + squares) / (assumed + spare)


def freedom(runs: Array, parameters: int) -> Array:
    """Degrees of freedom of `variance`: the runs that it is known from, assumed ones and spare ones."""
    return _assumed(runs, parameters) + np.maximum(runs - parameters, 0)


def _assumed(runs: Array, parameters: int) -> Array:
    """How many runs the assumption about the noise counts for."""
    return np.maximum(NOISE_RUNS - np.maximum(runs - parameters, 0), NOISE_RUNS_LEFT)
