"""The whole method tried on runs that are known: forecast the larger ones from the smaller, compare."""

from __future__ import annotations

import numpy as np

from tithe.forecast.breaks import after_break
from tithe.forecast.check import Runs
from tithe.forecast.engine import mix
from tithe.forecast.forms import FORMS, Array
from tithe.forecast.loss import Loss, Pinball
from tithe.forecast.result import HeldOut

SHARE = 0.6  # of the runs, the smaller ones, make the forecast
FEWEST = 3  # sizes among them


def extrapolate(runs: Runs, cut: int, loss: Loss, level: float, seed: int) -> tuple[Array, Array, Array, Array]:
    """From the `cut` smallest runs: (low, median, high, pure power law) of the errors of the others."""
    small, _ = after_break(Runs(runs.compute[:cut], runs.error[:cut]), loss)
    _, fits, mixture = mix(small, loss, level, seed)
    x = np.log(runs.compute[cut:] / small.compute[-1])
    _, middle, _ = mixture.errors(x)
    low, _, high = mixture.errors(x, new_run=not isinstance(loss, Pinball))  # a frontier is no run
    return low, middle, high, FORMS[0].value(fits[0].theta, x)


def held_out(runs: Runs, loss: Loss, level: float, seed: int) -> HeldOut | None:
    """How well the larger runs are forecast from the smaller; None where too few would be left."""
    cut = int(SHARE * len(runs.compute))
    while cut < len(runs.compute) and runs.compute[cut] == runs.compute[cut - 1]:
        cut += 1  # runs of one size stay together
    measured = runs.error[cut:]
    if len(np.unique(runs.compute[:cut])) < FEWEST or not len(measured):
        return None
    low, middle, high, power = extrapolate(runs, cut, loss, level, seed)
    return HeldOut(
        fitted=cut,
        predicted=len(measured),
        mean_absolute_error=float(np.abs(middle - measured).mean()),
        bias=float((middle - measured).mean()),
        inside=int(((low <= measured) & (measured <= high)).sum()),
        power_law_error=float(np.abs(power - measured).mean()),
    )
