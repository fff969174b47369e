"""The published method reproduces the published figures, on the authors' own tables."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from tithe.forecast.forms import Array
from tithe.forecast.regression import exponent_with_year, quantile_line, regression

IMAGENET, COCO = "image-classification-on-imagenet", "object-detection-on-coco"
SQUAD, CONLL = "question-answering-on-squad-1-1", "named-entity-recognition-on-conll-2003"
FRENCH = "machine-translation-on-wmt2014-en-fr"

# Thompson, Greenewald, Lee & Manso (arXiv 2007.05558, second version and notebooks): exponent, runs.
PUBLISHED = [
    (IMAGENET, "network_operations", "(TOP 1 score)", 12.0, 77),
    (IMAGENET, "hardware_burden", "(TOP 1 score)", 10.7, 36),
    (COCO, "computing_power", "(BOX AP)", 16.4, 20),
    (SQUAD, "hardware_burden", "(EM score)", 10.5, 12),
    (CONLL, "hardware_burden", "(F1 score)", 37, 12),
]


def table(shared: Path, name: str, compute: str, score: str) -> tuple[Array, Array, Array]:
    """Compute, error and year of the rows that have the first two; three lines of sub-headings follow the header."""
    with (shared / "data/scaling/thompson" / f"{name}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[3:]
    kept = [(row[compute], row[score], row["year"]) for row in rows if row[compute] and row[score]]
    numbers = np.array([[float(cell) for cell in row] for row in kept])
    return numbers[:, 0], 1 - numbers[:, 1] / 100, numbers[:, 2]


@pytest.mark.parametrize(("name", "compute", "score", "exponent", "runs"), PUBLISHED)
def test_published_exponents(shared: Path, name: str, compute: str, score: str, exponent: float, runs: int) -> None:
    found = regression(*table(shared, name, compute, score)[:2])
    assert found.runs == runs
    decimals = 0 if exponent > 30 else 1
    assert round(found.exponent, decimals) == exponent


def test_imagenet_interval_and_r2(shared: Path) -> None:
    found = regression(*table(shared, IMAGENET, "network_operations", "(TOP 1 score)")[:2])
    assert (round(found.low, 1), round(found.high, 1), round(found.r2, 2)) == (10.5, 14.0, 0.72)


def test_translation_is_not_significant(shared: Path) -> None:
    found = regression(*table(shared, FRENCH, "hardware_burden", "(BLEU)")[:2])
    assert found.p > 0.05
    assert found.high == math.inf


def test_imagenet_with_year_and_frontier(shared: Path) -> None:
    compute, error, year = table(shared, IMAGENET, "network_operations", "(TOP 1 score)")
    assert round(exponent_with_year(compute, error, year)[0], 1) == 15.7
    assert round(-1 / quantile_line(compute, error, 0.1)[0], 1) == 11.9


@pytest.mark.parametrize(
    ("compute", "low", "high"), [("network_operations", 24.8, 27.2), ("hardware_burden", 25.4, 27.9)]
)
def test_five_percent_on_imagenet_lies_where_a_bootstrap_of_the_line_puts_it(
    shared: Path, compute: str, low: float, high: float
) -> None:
    amounts, errors, _ = table(shared, IMAGENET, compute, "(TOP 1 score)")
    assert low < regression(amounts, errors).log10_compute(0.05) < high
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, len(amounts), len(amounts)) for _ in range(1000)]
    ends = np.quantile([regression(amounts[d], errors[d]).log10_compute(0.05) for d in drawn], [0.025, 0.975])
    assert ends == pytest.approx([low, high], abs=0.15)


def test_two_to_the_ninth_is_more_than_five_hundred() -> None:
    """The press: compute as the 9th power of the improvement, so that halving the error takes over 500 times."""
    compute = 10.0 ** np.arange(17, 23)
    found = regression(compute, 0.4 * (compute / 1e17) ** (-1 / 9))
    assert found.exponent == pytest.approx(9)
    assert found.r2 == pytest.approx(1)
    assert compute[0] * 2**found.exponent == pytest.approx(10 ** found.log10_compute(0.2), rel=1e-6)


def test_errors_that_do_not_fall_have_no_exponent() -> None:
    compute = 10.0 ** np.arange(4)
    rising = regression(compute, np.array([0.1, 0.12, 0.15, 0.2]))
    assert (rising.low, rising.high) == (math.inf, math.inf)
    assert regression(compute, np.full(4, 0.1)).exponent == math.inf


@pytest.mark.parametrize(
    ("up_to", "exponent", "log10_flop"),
    [(2018, 8.6, 25.3), (2019, 14.0, 29.1), (2020, 11.6, 27.1), (2021, 10.8, 26.4), (2022, 10.7, 26.3)],
)
def test_the_number_at_five_percent_moves_with_the_table(
    shared: Path, up_to: int, exponent: float, log10_flop: float
) -> None:
    """The table in docs/diminishing-returns.md: the authors' own data, cut at the end of a year."""
    compute, error, year = table(shared, IMAGENET, "hardware_burden", "(TOP 1 score)")
    found = regression(compute[year <= up_to], error[year <= up_to])
    assert found.exponent == pytest.approx(exponent, abs=0.06)
    assert found.log10_compute(0.05) == pytest.approx(log10_flop, abs=0.06)
