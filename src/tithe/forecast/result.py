"""A forecast: what it found, and how it is written as JSON."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tithe.cost.figure import Figure
from tithe.forecast.breaks import Break
from tithe.forecast.forms import Array
from tithe.forecast.mixture import Mixture
from tithe.forecast.regression import Regression


@dataclass(frozen=True)
class FormResult:
    """One form, fitted to all runs."""

    name: str
    weight: float  # earned by extrapolating, 0 to 1
    fitted: str  # the equation with its numbers
    exponent: Figure | None  # compute grows as this power of the improvement; above the floor, where there is one
    floor: Figure | None  # error that is never undercut
    halving_factor: Figure  # how many times the compute of the largest run halves its error
    target: Figure  # compute at the target
    extrapolation_error: float | None  # root mean square of the log error, rolling origin


@dataclass(frozen=True)
class Target:
    """What it takes to reach an error."""

    error: float
    amount: Figure  # FLOP, labels or parameters
    decades_beyond: float  # of the largest run; below 0 within the runs, infinite where it is never reached
    unreachable: float  # weight of the curves that never reach it, 0 to 1
    cost: dict[str, Figure | None] = field(default_factory=dict)  # hours, kwh, kg_co2, usd


@dataclass(frozen=True)
class HeldOut:
    """The forecast tried on the user's own runs: made from the smaller ones, compared with the larger."""

    fitted: int  # runs
    predicted: int  # runs
    mean_absolute_error: float  # fraction
    bias: float  # fraction, mean of predicted - measured; below 0 is too optimistic
    inside: int  # of those predicted, in their interval
    power_law_error: float  # mean absolute error of the pure power law, fraction


@dataclass(frozen=True)
class Forecast:
    """What the runs say about larger ones. `errors` draws its curve; `to_json` writes it down."""

    axis: str
    unit: str
    compute: Array  # of the runs, ascending [n]
    error: Array  # of the runs, fractions [n]
    kind: str  # "typical", or "best achievable"
    level: float  # of the intervals
    now: Figure  # error of the curve at the largest run
    noise: float  # standard deviation of the log error of a run about the curve
    forms: dict[str, FormResult]
    line: Regression
    with_year: tuple[float, float] | None  # exponent, share of the error that remains a year later
    halving_factor: Figure
    target: Target
    origins: int
    held_out: HeldOut | None
    verdict: str
    settle: str
    says: str
    broke: Break | None  # a slope that changed among the runs; the forecast is made of those after it
    assumed: dict[str, Any]
    mixture: Mixture = field(repr=False, compare=False)

    def errors(self, compute: Array, new_run: bool = False) -> tuple[Array, Array, Array]:
        """(low, median, high) error at each compute [m]: of the curve, or of a new run with its noise."""
        return self.mixture.errors(np.log(np.asarray(compute, dtype=float) / self.compute[-1]), new_run)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings and lists; infinity is "inf", as everywhere in tithe."""
        return {
            "runs": {
                "count": len(self.compute),
                "axis": self.axis,
                "unit": self.unit,
                "smallest": float(self.compute[0]),
                "largest": float(self.compute[-1]),
                "kind": self.kind,
            },
            "level": self.level,
            "error_now": self.now.json(),
            "noise": self.noise,
            "power_law": self._form("power_law") | {"ordinary_least_squares": _line(self.line)} | self._year(),
            "with_floor": self._form("with_floor"),
            "exponential": self._form("exponential"),
            "halving_factor": self.halving_factor.json(),
            "target": self._target(),
            "backtest": self._backtest(),
            "break": None if self.broke is None else self.broke._asdict(),
            "verdict": self.verdict,
            "settle": self.settle,
            "says": self.says,
            "assumed": self.assumed,
        }

    def _form(self, name: str) -> dict[str, Any]:
        form = self.forms[name]
        return {
            "weight": form.weight,
            "fitted": form.fitted,
            **({"exponent": form.exponent.json()} if form.exponent else {}),
            **({"floor": form.floor.json()} if form.floor else {}),
            "halving_factor": form.halving_factor.json(),
            "target": form.target.json(),
        }

    def _year(self) -> dict[str, Any]:
        if self.with_year is None:
            return {}
        exponent, remains = self.with_year
        return {"with_year": {"exponent": plain(exponent), "error_after_a_year": remains}}

    def _target(self) -> dict[str, Any]:
        target = self.target
        name = "flop" if self.unit == "FLOP" else {"data": "labels"}.get(self.axis, self.axis)
        return {
            "error": target.error,
            name: target.amount.json(),
            **{key: None if figure is None else figure.json() for key, figure in target.cost.items()},
            "decades_beyond": plain(target.decades_beyond),
            "unreachable": target.unreachable,
        }

    def _backtest(self) -> dict[str, Any]:
        return {
            "origins": self.origins,
            "weights": {name: form.weight for name, form in self.forms.items()},
            "extrapolation_error": {name: form.extrapolation_error for name, form in self.forms.items()},
            "held_out": None if self.held_out is None else dataclasses.asdict(self.held_out),
        }


def _line(line: Regression) -> dict[str, Any]:
    return {
        "exponent": {"value": plain(line.exponent), "low": plain(line.low), "high": plain(line.high), "level": 0.95},
        "runs": line.runs,
        "r2": line.r2,
        "p": line.p,
    }


def plain(number: float) -> float | str:
    """JSON has no infinity."""
    return number if np.isfinite(number) else ("inf" if number > 0 else "-inf")
