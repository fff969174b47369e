"""Draws of several forms as one answer."""

import numpy as np
import pytest

from tithe.forecast.forms import FORMS
from tithe.forecast.interval import Draws
from tithe.forecast.mixture import Mixture, halving, weighted_quantiles


def test_quantiles_of_equal_weights() -> None:
    values = np.arange(100.0)[:, None]
    low, middle, high = weighted_quantiles(values, np.full(100, 0.01), (0.05, 0.5, 0.95))[:, 0]
    assert (low, middle, high) == (pytest.approx(5, abs=1), pytest.approx(50, abs=1), pytest.approx(95, abs=1))


def test_quantiles_of_infinite_values_are_infinite_not_undefined() -> None:
    values = np.array([[1.0], [2.0], [np.inf], [np.inf]])
    assert weighted_quantiles(values, np.full(4, 0.25), (0.1, 0.6, 0.9))[:, 0].tolist() == [1.0, np.inf, np.inf]


def test_what_weighs_nothing_changes_nothing() -> None:
    values = np.array([[5.0], [1.0], [2.0], [3.0]])
    found = weighted_quantiles(values, np.array([0.0, 0.3, 0.3, 0.4]), (0.01, 0.5, 1.0))[:, 0]
    assert found.tolist() == [1.0, 2.0, 3.0]


def one_curve(floor: float, slope: float) -> Draws:
    return Draws(FORMS[1], np.log([[floor, 0.2, slope]]), np.array([0.01]))


def test_halving_factor_is_the_formula() -> None:
    """((e - E) / (e/2 - E))^(1/a), e being the error at the largest run; infinite where e/2 <= E."""
    floor, slope = 0.05, 0.5
    error = floor + 0.2
    assert np.exp(halving(one_curve(floor, slope)))[0] == pytest.approx(
        ((error - floor) / (error / 2 - floor)) ** (1 / slope)
    )
    assert halving(one_curve(0.3, slope))[0] == np.inf


def test_halving_of_a_power_law_is_two_to_the_exponent() -> None:
    """The ninth power: 2^9 = 512 times the compute."""
    draws = Draws(FORMS[0], np.log([[0.1, 1 / 9]]), np.array([0.01]))
    assert np.exp(halving(draws))[0] == pytest.approx(512)


def test_forms_count_by_their_weight() -> None:
    low, high = one_curve(0.01, 0.5), one_curve(0.3, 0.5)
    mixture = Mixture(((0.8, low), (0.2, high)), 0.5, 0)
    assert mixture.band(mixture.now()).value == pytest.approx(0.21)
    assert mixture.share(mixture.now() > 0.3) == pytest.approx(0.2)
