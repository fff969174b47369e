"""The published record of ImageNet, and what was said of it in print.

Two measures of compute that must never be mixed: network operations are what the mathematics took; hardware burden is
what the processors could have done in the time they were held.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from tithe.forecast.regression import Regression, regression
from tithe.forecast.result import plain
from tithe.forecast.runs_table import Table

OPERATIONS, BURDEN = "network operations", "hardware burden"
TARGET = 0.05
_FLOP_A_PASS = 6  # 2 a multiply-add, and the backward pass takes twice the forward pass
_SECONDS_A_DAY = 86_400

# Thompson et al., conversions of their web site (computerprogress.com).
FLOP_A_DOLLAR = 6.874e16
FLOP_A_POUND = 3.498e17  # of CO2
POUNDS_OF_NEW_YORK = 1.04e10  # of CO2: New York City, one month
THEORY = 4  # the power of the improvement that compute has to grow with, in theory
UP_TO = 2019  # the last year that the first version could know


@dataclass(frozen=True)
class Result:
    """One published network."""

    model: str
    year: int
    error: float  # top-1, fraction
    parameters: float | None
    operations: float | None  # FLOP of training
    burden: float | None  # FLOP that the hardware could have done
    source: str


@dataclass(frozen=True)
class Said:
    """What a publication says of ImageNet."""

    where: str
    measure: str
    exponent: float
    flop: float  # at 5 % error
    flop_at_one: float  # at 1 % error


PRESS = (
    Said("Thompson et al., first version (2020); IEEE Spectrum (2021)", BURDEN, 9.0, 1e28, 1e37),
    Said("Thompson et al., second version (2022)", BURDEN, 10.7, 1e26, 1e33),
    Said("Thompson et al., second version (2022)", OPERATIONS, 12.0, 1e26, 1e33),
)


@cache
def results() -> tuple[Result, ...]:
    """The package's own table, `data/imagenet.csv`."""
    text = files("tithe.forecast").joinpath("data", "imagenet.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(_result(row) for row in rows)


def table(measure: str, up_to: int | None = None) -> Table:
    """The results that have this measure, up to a year."""
    found = [
        (amount, result)
        for result in results()
        if (amount := amount_of(result, measure)) is not None and (up_to is None or result.year <= up_to)
    ]
    return Table(
        [amount for amount, _ in found],
        [result.error for _, result in found],
        None,
        [float(result.year) for _, result in found],
        [result.model for _, result in found],
        len(results()) - len(found),
    )


def line(measure: str, up_to: int | None = None) -> Regression:
    """The method of the publications on this package's table."""
    runs = table(measure, up_to)
    return regression(np.array(runs.compute), np.array(runs.error))


def amount_of(result: Result, measure: str) -> float | None:
    """FLOP in this measure."""
    return result.operations if measure == OPERATIONS else result.burden


def dollars(flop: float) -> float:
    """By the authors' conversion."""
    return flop / FLOP_A_DOLLAR


def months_of_new_york(flop: float) -> float:
    """CO2 of so many FLOP over that of New York City in a month, by the authors' conversion."""
    return flop / FLOP_A_POUND / POUNDS_OF_NEW_YORK


@dataclass(frozen=True)
class Split:
    """How compute grew from AlexNet to NASNet-A: burden = processors x peak x time."""

    error: float  # how many times less
    burden: float  # how many times more
    hardware: float  # peak of a processor
    processors: float
    time: float


def split() -> Split:
    """AlexNet (2012) to NASNet-A (2017), whose search counts."""
    first, last = (_hardware(name) for name in ("AlexNet", "NASNet-A (6 @ 4032)"))
    (error, *before), (less, *after) = first, last
    processors, hardware, time = (new / old for new, old in zip(after, before, strict=True))
    return Split(error / less, processors * hardware * time, hardware, processors, time)


def record() -> dict[str, Any]:
    """Publications and this package's table side by side, as JSON."""
    ours = [(BURDEN, UP_TO), (BURDEN, None), (OPERATIONS, None)]
    return {
        "published": [
            {"where": said.where, "measure": said.measure, "exponent": said.exponent, "halving": 2**said.exponent}
            | _priced(said.flop)
            for said in PRESS
        ],
        "ours": [_line(measure, up_to) for measure, up_to in ours],
        "theory_exponent": THEORY,
        "alexnet_to_nasnet": vars(split()),
    }


def _line(measure: str, up_to: int | None) -> dict[str, Any]:
    found = line(measure, up_to)
    return {
        "where": "this package's table" + (f", up to {up_to}" if up_to else ""),
        "measure": measure,
        "runs": found.runs,
        "r2": found.r2,
        "exponent": {"value": found.exponent, "low": found.low, "high": plain(found.high), "level": 0.95},
        "halving": 2**found.exponent,
    } | _priced(10 ** found.log10_compute(TARGET))


def _priced(flop: float) -> dict[str, Any]:
    return {
        "at": TARGET,
        "flop": flop,
        "usd": dollars(flop),
        "new_york_months_of_co2": months_of_new_york(flop),
    }


def _result(row: dict[str, str]) -> Result:
    return Result(
        row["model"],
        int(row["year"]),
        float(row["error"]),
        float(row["parameters"]) if row["parameters"] else None,
        _FLOP_A_PASS * arithmetic(row["multiply_adds"]) if row["multiply_adds"] else None,
        _SECONDS_A_DAY * arithmetic(row["hardware"]) if row["hardware"] else None,
        row["source"],
    )


def arithmetic(text: str) -> float:
    """Sums of products and quotients, as the table writes them.

    >>> arithmetic("2*1.5e12*5.5+6e3/3")
    16500000002000.0
    """
    total = 0.0
    for term in text.replace("e+", "e").split("+"):
        numerator, *divisors = term.split("/")
        total += math.prod(map(float, numerator.split("*"))) / math.prod(map(float, divisors))
    return total


def _hardware(model: str) -> tuple[float, float, float, float]:
    """(error, processors, peak of one, days)."""
    text = files("tithe.forecast").joinpath("data", "imagenet.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    row = next(row for row in rows if row["model"] == model)
    processors, peak, days = map(float, row["hardware"].split("*"))
    return float(row["error"]), processors, peak, days
