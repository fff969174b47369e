"""What a forecast may call itself, in words, and what would settle what it leaves open."""

from __future__ import annotations

import numpy as np

from tithe.forecast.forms import TINY
from tithe.forecast.interval import Draws
from tithe.forecast.mixture import Mixture
from tithe.forecast.words import percent, size

FEW_RUNS = 6  # below it the forms were compared on fewer than three extrapolations
FORECAST_DECADES, SCENARIO_DECADES = 1.0, 3.0  # beyond the largest run
SURE = 0.05  # a share of the weight below it is set aside

FORECAST, SCENARIO = "forecast", "scenario"
OUT_OF_REACH, FLOOR_OPEN, TOO_FEW = "out of reach", "floor not identified", "too few runs"

_FACTORS = (2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 300.0, 1000.0)  # of the next run over the largest
_TELLING = 2.0  # standard deviations between what two forms predict for it


def verdict(sizes: int, decades_beyond: float, unreachable: float) -> str:
    """How far the answer may be trusted.

    `sizes` of runs, different ones; `decades_beyond` the largest run (infinite: never); `unreachable` share of the
    curves that never reach the target.
    """
    if sizes < FEW_RUNS and decades_beyond > 0:
        return TOO_FEW
    if unreachable > 1 - SURE:
        return OUT_OF_REACH
    if unreachable > SURE:
        return FLOOR_OPEN
    return FORECAST if decades_beyond <= FORECAST_DECADES else SCENARIO


def settle(found: str, mixture: Mixture, largest: float, unit: str, noise: float, sizes: int) -> str:
    """One sentence: what to run next."""
    if found == TOO_FEW:
        missing = FEW_RUNS - sizes
        runs = "a run of another size" if missing == 1 else f"{missing} runs of other sizes"
        return f"Measure {runs}, over a factor of ten or more."
    telling = _telling_run(mixture, noise)
    if telling is None:
        if found == FORECAST:
            return "A run half way to the target would confirm it or not."
        return (
            "No single run up to 1,000 times the largest would tell a floor from a power law within the noise: repeat "
            "the largest runs with other seeds, or measure more sizes."
        )
    factor, without, with_floor = telling
    return (
        f"A run of {size(factor * largest, unit)} ({factor:g} times the largest) would tell: "
        f"a power law expects {percent(without)} there, a floor {percent(with_floor)}."
    )


def _telling_run(mixture: Mixture, noise: float) -> tuple[float, float, float] | None:
    """The smallest next run at which power law and floor differ by more than the noise: (factor, errors of the two)."""
    for factor in _FACTORS:
        without, floored = (_median(mixture.draws(name), np.log(factor)) for name in ("power_law", "with_floor"))
        if abs(np.log(without / floored)) > _TELLING * noise:
            return factor, without, floored
    return None


def _median(draws: Draws, x: float) -> float:
    return float(np.median(np.maximum(draws.form.value(draws.theta, np.array([x])), TINY)))
