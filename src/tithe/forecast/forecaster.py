"""From runs to a forecast: fit every form, weigh them by how they extrapolate, say what the runs leave open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tithe.cost.figure import Figure
from tithe.cost.rates import Rates
from tithe.errors import UsageError
from tithe.forecast import prior, sentences, verdict
from tithe.forecast.backtest import Backtest
from tithe.forecast.breaks import Break, after_break
from tithe.forecast.check import FEWEST_FOR_FRONTIER, Runs, Where, check_axis, check_target, runs
from tithe.forecast.engine import Watch, mix, silent
from tithe.forecast.fitting import Fit
from tithe.forecast.forms import FORMS, Array, Form
from tithe.forecast.holdout import held_out
from tithe.forecast.interval import DRAWS
from tithe.forecast.loss import TYPICAL, Pinball
from tithe.forecast.mixture import Band, Mixture
from tithe.forecast.regression import exponent_with_year, regression
from tithe.forecast.result import Forecast, FormResult, HeldOut, Target

LEVEL = 0.9
FRONTIER = 0.1  # of the runs lie below the best achievable
_LN10 = np.log(10)


def fit(
    compute: Sequence[float],
    error: Sequence[float],
    *,
    target: float | None = None,
    axis: str = "compute",
    unit: str | None = None,
    frontier: bool = False,
    year: Sequence[float] | None = None,
    percent: bool = False,
    rates: Rates | None = None,
    level: float = LEVEL,
    seed: int = 0,
    where: Where | None = None,
    watch: Watch = silent,
) -> Forecast:
    """What runs of these sizes and errors say about larger ones.

    >>> flop = [1e15, 3e15, 1e16, 3e16, 1e17, 3e17, 1e18, 3e18]
    >>> found = fit(flop, [0.05 + 0.4 * (c / 1e15) ** -0.4 for c in flop], target=0.06)
    >>> round(found.forms["with_floor"].floor.value, 2), found.verdict
    (0.05, 'scenario')

    Args:
        compute: FLOP of each run; labels or parameters if `axis` says so. Above 0.
        error: of each run, a fraction in (0, 1] (or percent, if `percent`).
        target: the error to price; by default half of what the largest run would have.
        axis: "compute", "data" or "parameters".
        unit: of `compute`; "FLOP" by default, and only FLOP are priced.
        frontier: the best achievable (a tenth of the runs below the curve) instead of the typical run.
        percent: whether the errors are percentages.
        year: of each run; adds the exponent at a given year.
        rates: what a FLOP costs; by default on this machine.
        level: of the intervals.
        seed: of the bootstrap.
        where: names a run in an error, by its place.
        watch: is told what comes next; many runs take seconds.

    Raises:
        UsageError: input that nothing can be made of; the sentence says which run and what to do.
    """
    check_axis(axis)
    check_target(target)
    if not 0 < level < 1:
        raise UsageError(f"level {level:g} was given; give a fraction below 1, such as 0.9.")
    scaled = np.asarray(error, dtype=float) / (100 if percent else 1)
    given = runs(compute, scaled, axis, where)  # type: ignore[arg-type]
    if frontier and len(given.compute) < FEWEST_FOR_FRONTIER:
        raise UsageError(
            f"{len(given.compute)} runs were given; the best achievable needs {FEWEST_FOR_FRONTIER} or more, "
            "since only a tenth of them lie on it: leave out --frontier."
        )
    unit = unit or {"compute": "FLOP", "data": "labels", "parameters": "parameters"}[axis]
    loss = Pinball(FRONTIER) if frontier else TYPICAL
    used, broke = after_break(given, loss)
    tried, fits, mixture = mix(used, loss, level, seed, watch)
    watch("the larger runs from the smaller ones")
    return _result(
        given, used, broke, tried, fits, mixture, target, axis, unit, frontier, _year(year, compute, scaled), rates,
        held_out(given, loss, level, seed),
    )  # fmt: skip


def _result(
    given: Runs,
    used: Runs,
    broke: Break | None,
    tried: Backtest,
    fits: list[Fit],
    mixture: Mixture,
    target: float | None,
    axis: str,
    unit: str,
    frontier: bool,
    with_year: tuple[float, float] | None,
    rates: Rates | None,
    tried_out: HeldOut | None,
) -> Forecast:
    largest = given.compute[-1]
    now = _figure(mixture.band(mixture.now()), "1", "error of the curve at the largest run")
    wanted = now.value / 2 if target is None else target
    halving = _figure(
        mixture.band(_exp(mixture.halved())), "1", "compute for half the error over that of the largest run"
    )
    forms = {
        form.name: _form(form, fitted, mixture, largest, wanted, unit, tried, place)
        for place, (form, fitted) in enumerate(zip(FORMS, fits, strict=True))
    }
    noise = float(np.sqrt(fits[int(np.argmax(tried.weights))].variance))
    priced = _target(mixture, wanted, largest, unit, rates)
    sizes = len(np.unique(used.compute))
    found = verdict.verdict(sizes, priced.decades_beyond, priced.unreachable)
    return Forecast(
        axis=axis,
        unit=unit,
        compute=given.compute,
        error=given.error,
        kind="best achievable" if frontier else "typical",
        level=mixture.level,
        now=now,
        noise=noise,
        forms=forms,
        line=regression(given.compute, given.error),
        with_year=with_year,
        halving_factor=halving,
        target=priced,
        origins=tried.origins,
        held_out=tried_out,
        verdict=found,
        settle=verdict.settle(found, mixture, largest, unit, noise, sizes),
        says=sentences.says(found, now, halving, priced, unit, broke),
        broke=broke,
        assumed=_assumed(rates if priced.cost else None),
        mixture=mixture,
    )


def _form(
    form: Form, fitted: Fit, mixture: Mixture, largest: float, wanted: float, unit: str, tried: Backtest, place: int
) -> FormResult:
    only = Mixture(((1.0, mixture.draws(form.name)),), mixture.level, mixture.seed)
    theta, draws = fitted.theta, mixture.draws(form.name)
    exponent = floor = None
    if form.has_exponent:
        exponent = _around(float(np.exp(-theta[-1])), only.band(np.exp(-draws.theta[:, -1])), "1", "1 / slope")
    if form.has_floor:
        floor = _around(float(form.floor(theta)), only.band(form.floor(draws.theta)), "1", "error never undercut")
    return FormResult(
        form.name,
        tried.weights[place],
        sentences.equation(form, theta, largest),
        exponent,
        floor,
        _figure(only.band(_exp(only.halved())), "1", f"{form.name} alone"),
        _figure(only.band(_exp(only.reached(wanted)) * largest), unit, f"{form.name} alone"),
        float(np.sqrt(tried.squares[place])) if tried.squares else None,
    )


def _target(mixture: Mixture, error: float, largest: float, unit: str, rates: Rates | None) -> Target:
    reached = mixture.reached(error)
    band = mixture.band(reached)
    amount = _figure(Band(*(_exp(x) * largest for x in (band.value, band.low, band.high))), unit, "size at the target")
    return Target(
        error, amount, float(band.value / _LN10), mixture.share(np.isposinf(reached)), _cost(amount, unit, rates)
    )


def _cost(amount: Figure, unit: str, rates: Rates | None) -> dict[str, Figure | None]:
    """Hours, kWh, CO2 and money, where the amount is in FLOP."""
    if unit != "FLOP":
        return {}
    cost = (rates or Rates.on()).of_flop(amount)
    return {"hours": cost.hours, "kwh": cost.kwh, "kg_co2": cost.kg_co2, "usd": cost.usd or cost.usd_electricity}


def _year(year: Sequence[float] | None, compute: Sequence[float], error: Array) -> tuple[float, float] | None:
    if year is None:
        return None
    years = np.asarray(year, dtype=float)
    if years.shape != error.shape or not np.isfinite(years).all():
        raise UsageError(f"{years.size} years were given for {error.size} runs; give one for each, as a number: 2019.")
    return exponent_with_year(np.asarray(compute, dtype=float), error, years)


def _figure(band: Band, unit: str, source: str) -> Figure:
    return Figure(band.value, unit, "modelled", band.low, band.high, source)


def _around(value: float, band: Band, unit: str, source: str) -> Figure:
    """The fit's own value; its interval, from the draws, always holds it."""
    return Figure(value, unit, "modelled", min(band.low, value), max(band.high, value), source)


def _exp(x: Any) -> Any:
    """e^x, infinite where it is beyond any number."""
    with np.errstate(over="ignore"):
        return np.exp(x)


def _assumed(rates: Rates | None) -> dict[str, Any]:
    """Everything that was not in the runs."""
    return {
        "noise": prior.NOISE,
        "noise_runs": prior.NOISE_RUNS,
        "floor_over_least_error": float(np.exp(prior.FLOOR)),
        "slope": float(np.exp(prior.SLOPE)),
        "shares": prior.SHARES,
        "draws": DRAWS,
        **({"rates": rates.json()} if rates else {}),
    }
