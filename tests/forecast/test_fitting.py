"""Fits: known parameters recovered, outliers borne, batches equal to single fits."""

import numpy as np
import pytest

from forecast.curves import floored, noisy, sizes
from tithe.forecast.fitting import fit
from tithe.forecast.forms import FORMS, Array
from tithe.forecast.loss import TYPICAL, Pinball
from tithe.forecast.regression import quantile_line

POWER, FLOOR, EXPONENTIAL = FORMS


def logs(compute: Array, error: Array) -> tuple[Array, Array, Array]:
    return np.log(compute / compute[-1]), np.log(error), np.ones(len(compute))


@pytest.mark.parametrize("slope", [0.05, 0.25, 0.8])
def test_power_law_is_recovered(slope: float) -> None:
    compute = sizes(6, 2)
    found = fit(POWER, *logs(compute, floored(compute, 0, 0.4, slope)), TYPICAL)
    assert np.exp(found.theta[1]) == pytest.approx(slope, rel=1e-6)
    assert np.exp(found.theta[0]) == pytest.approx(0.4 * 100**-slope, rel=1e-6)


@pytest.mark.parametrize(("floor", "slope"), [(0.02, 0.3), (0.1, 0.5), (0.3, 0.9)])
def test_floor_is_recovered(floor: float, slope: float) -> None:
    compute = sizes(12, 3)
    found = fit(FLOOR, *logs(compute, floored(compute, floor, 0.4, slope)), TYPICAL)
    assert np.exp(found.theta[0]) == pytest.approx(floor, rel=0.03)  # the prior still pulls a little
    assert np.exp(found.theta[2]) == pytest.approx(slope, rel=0.03)


def test_exponential_is_recovered() -> None:
    compute = np.linspace(0.05, 1, 12)
    error = 0.1 + 0.4 * np.exp(-4 * compute)
    found = fit(EXPONENTIAL, *logs(compute, error), TYPICAL)
    assert np.exp(found.theta) == pytest.approx([0.1, 0.4, 4.0], rel=0.02)


def test_one_bad_run_of_twelve_moves_a_robust_fit_little() -> None:
    rng = np.random.default_rng(1)
    compute = sizes(12, 3)
    error = noisy(floored(compute, 0, 0.4, 0.2), 0.01, rng)
    bad = error.copy()
    bad[9] *= 1.6  # diverged
    clean, robust = (np.exp(fit(POWER, *logs(compute, e), TYPICAL).theta[1]) for e in (error, bad))
    plain = -np.polyfit(np.log(compute), np.log(bad), 1)[0]
    assert abs(robust - clean) < 0.25 * abs(plain - clean)


def test_runs_that_are_left_out_do_not_count() -> None:
    compute = sizes(8, 2)
    error = floored(compute, 0.05, 0.3, 0.4)
    x, y, _ = logs(compute[:6], error[:6])
    alone = fit(FLOOR, x, y, np.ones(6), TYPICAL)
    x, y = np.log(compute / compute[5]), np.log(np.append(error[:6], [0.9, 0.001]))
    masked = fit(FLOOR, x, y, np.array([1.0] * 6 + [0.0] * 2), TYPICAL)
    assert masked.theta == pytest.approx(alone.theta, abs=1e-9)
    assert masked.variance == pytest.approx(alone.variance)


def test_a_batch_is_its_members() -> None:
    rng = np.random.default_rng(0)
    compute = sizes(7, 2)
    errors = np.stack([noisy(floored(compute, 0.1, 0.3, 0.5), 0.05, rng) for _ in range(5)])
    for form in FORMS:
        x = np.broadcast_to(np.log(compute / compute[-1]), errors.shape)
        batch = fit(form, x, np.log(errors), np.ones(errors.shape), TYPICAL)
        for row, error in enumerate(errors):
            single = fit(form, *logs(compute, error), TYPICAL)
            assert batch.theta[row] == pytest.approx(single.theta, abs=1e-6), form.name


def test_frontier_is_the_quantile_regression() -> None:
    rng = np.random.default_rng(3)
    compute = sizes(60, 4, rng)
    error = floored(compute, 0, 0.5, 0.15) * np.exp(rng.exponential(0.2, 60))
    found = np.exp(fit(POWER, *logs(compute, error), Pinball(0.1)).theta[1])
    assert found == pytest.approx(-quantile_line(compute, error, 0.1)[0], rel=0.05)
