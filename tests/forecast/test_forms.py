"""The forms: gradients, inverses, floors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tithe.forecast.forms import FORMS, Form, weighted_line

ALL = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
LOGS = st.floats(-3, 1)


def theta_of(form: Form, values: list[float]) -> np.ndarray:
    return np.clip(values[: len(form.parameters)], form.low, form.high)


@ALL
@given(values=st.lists(LOGS, min_size=3, max_size=3), x=st.floats(-5, 2))
def test_gradient_is_that_of_the_value(form: Form, values: list[float], x: float) -> None:
    theta, at, step = theta_of(form, values), np.array([x]), 1e-6
    for place in range(len(theta)):
        up, down = theta.copy(), theta.copy()
        up[place] += step
        down[place] -= step
        numeric = (form.value(up, at) - form.value(down, at)) / (2 * step)
        assert form.gradient(theta, at)[..., place] == pytest.approx(numeric, rel=1e-4, abs=1e-8)


@ALL
@given(values=st.lists(LOGS, min_size=3, max_size=3), x=st.floats(-3, 1))
def test_inverse_undoes_the_value(form: Form, values: list[float], x: float) -> None:
    theta = theta_of(form, values)
    error = float(form.value(theta, np.array([x]))[0])
    if error - form.floor(theta) > 1e-4:  # nearer to the floor the last digits of x are lost
        assert form.inverse(theta, error) == pytest.approx(x, abs=1e-3)


@ALL
def test_at_or_below_the_floor_is_never_reached(form: Form) -> None:
    theta = np.array([np.log(0.1), np.log(0.2), 0.0])[-len(form.parameters) :]
    if form.has_floor:
        assert form.inverse(theta, 0.1) == np.inf
        assert form.inverse(theta, 0.05) == np.inf
    else:
        assert np.isfinite(form.inverse(theta, 1e-9))


@ALL
def test_error_never_rises_with_compute(form: Form) -> None:
    theta = np.array([np.log(0.1), np.log(0.2), 0.0])[-len(form.parameters) :]
    assert (np.diff(form.value(theta, np.linspace(-8, 8, 50))) <= 0).all()


def test_exponential_better_than_without_any_compute() -> None:
    exponential = FORMS[2]
    theta = np.log([0.1, 0.2, 1.0])
    assert exponential.inverse(theta, 0.4) == -np.inf  # 0.3 is the error of no compute


def test_weighted_line_counts_a_run_of_weight_two_twice() -> None:
    x, y = np.array([0.0, 1.0, 3.0]), np.array([1.0, 2.0, 2.5])
    twice = weighted_line(np.append(x, 3.0), np.append(y, 2.5), np.ones(4))
    weighted = weighted_line(x, y, np.array([1.0, 1.0, 2.0]))
    assert weighted.slope == pytest.approx(twice.slope)
    assert weighted.intercept == pytest.approx(twice.intercept)
