"""`theory`: the exponents of curves that are known, and verdicts that can say both."""

from __future__ import annotations

import math
import random

import pytest

from tithe.studies.theory import exponent, exponents, judged, measure
from tithe.studies.verdict import OPEN


def curve(data: float, compute: float, noise: float = 0.01, seed: int = 0) -> list[dict[str, float]]:
    """A power law: n ~ (1 / error)^data, flop ~ (1 / error)^compute."""
    dice, found = random.Random(seed), []
    for power in range(6):
        error = 2.0**-power * math.exp(dice.gauss(0, noise))
        n, spent = 100 * 2 ** (power * data), 2 ** (power * compute)
        found.append({"n": n, "parameters": spent / n, "flop": 1e6 * spent, "error": error})
    return found


def curves(fixed: tuple[float, float], growing: tuple[float, float], flat: bool = True, noise: float = 0.01):
    dice = random.Random(0)

    def filled(n: int) -> dict[str, float]:
        return {
            "n": n,
            "parameters": n / 2,
            "flop": n**3,
            "error": (1.0 if flat else n**-0.5) * dice.uniform(0.99, 1.01),
        }

    laws = {"fixed": fixed, "growing": growing}
    return {name: [curve(*law, noise, seed) for seed in range(3)] for name, law in laws.items()} | {
        "filled": [[filled(n) for n in (100, 200, 400)] for _ in range(3)]
    }


def verdicts(*args, **kwargs) -> list[str]:
    return [claim.verdict for claim in judged(curves(*args, **kwargs))]


def test_the_exponent_of_a_power_law_is_found():
    assert exponent(curve(2, 4, noise=0), "n") == pytest.approx(2)
    assert exponent(curve(2, 4, noise=0), "flop") == pytest.approx(4)


def test_an_error_that_does_not_fall_has_no_finite_exponent():
    flat = [{"n": n, "error": 1.0 + n / 1e6} for n in (1, 10, 100)]
    assert math.isinf(exponent(flat, "n"))
    assert math.isinf(exponents([flat, flat], "n").value)


def test_verdicts_follow_the_numbers():
    assert verdicts((2, 2), (2, 4)) == ["holds"] * 4
    assert verdicts((2, 2), (2.2, 4.5)) == ["holds"] * 4, "at least k^4"
    assert verdicts((1, 1), (1, 2)) == ["does not hold"] * 4
    assert verdicts((2, 2), (2, 4), flat=False)[3] == "does not hold"
    assert verdicts((2, 2), (2, 4), noise=1.0)[0] == "not decided"


def test_least_squares_of_fixed_size_has_its_closed_form():
    """E |w' - w|^2 = p / (n - p - 1)."""
    found = [measure("fixed", 256, 32, seed)["error"] ** 2 for seed in range(40)]
    assert sum(found) / len(found) == pytest.approx(32 / (256 - 33), rel=0.15)


def test_lasso_finds_a_few_among_many():
    assert measure("growing", 400, 800, 0)["error"] < 1 < math.sqrt(10), "less than knowing nothing"


def test_one_seed_decides_nothing():
    one = {name: seeds[:1] for name, seeds in curves((2, 2), (2, 4)).items()}
    assert {claim.verdict for claim in judged(one)} == {OPEN}
