"""Draws: as wide as theory has it."""

import numpy as np
import pytest
from scipy.special import stdtrit

from forecast.curves import floored, noisy, sizes
from tithe.forecast.fitting import fit
from tithe.forecast.forms import FORMS
from tithe.forecast.interval import draw, log_errors
from tithe.forecast.loss import Huber, Pinball
from tithe.forecast.prior import NOISE_RUNS, NOISE_RUNS_LEFT, freedom

NEARLY_SQUARES = Huber(50.0)


@pytest.mark.parametrize("runs", [5, 8, 30])
def test_a_line_has_the_interval_of_student(runs: int) -> None:
    """Half width of a curve's interval at x: t s sqrt(1/n + (x - mean)^2 / sum of squares), s^2 by n - 2 degrees."""
    x = np.log(sizes(runs, 2)) - np.log(sizes(runs, 2)[-1])
    log_error = np.log(noisy(floored(sizes(runs, 2), 0, 0.4, 0.2), 0.05, np.random.default_rng(0)))
    fitted = fit(FORMS[0], x, log_error, np.ones(runs), NEARLY_SQUARES)
    ahead, free = np.array([-1.0, 1.5]), float(freedom(np.array(runs), 2))
    away = x - x.mean()
    spread = np.sqrt(fitted.variance * (1 / runs + (ahead - x.mean()) ** 2 / (away @ away)))
    found = [
        log_errors(draw(FORMS[0], x, log_error, fitted, NEARLY_SQUARES, np.random.default_rng(seed)), ahead, None)
        for seed in range(6)
    ]
    low, high = np.quantile(np.concatenate(found), [0.05, 0.95], axis=0)
    assert (high - low) / 2 == pytest.approx(stdtrit(free, 0.95) * spread, rel=0.08)


def test_degrees_of_freedom_are_the_runs_that_the_noise_is_known_from() -> None:
    runs = np.array([3, 4, 5, 30])
    assert freedom(runs, 3).tolist() == [NOISE_RUNS, NOISE_RUNS, 2 + NOISE_RUNS_LEFT, 27 + NOISE_RUNS_LEFT]


def test_an_edge_is_not_moved_by_noise_about_it() -> None:
    """Noise added to every run would widen the cloud, and push its lower edge down."""
    compute = sizes(40, 3)
    log_error = np.log(noisy(floored(compute, 0, 0.4, 0.2), 0.1, np.random.default_rng(3)))
    x, edge = np.log(compute / compute[-1]), Pinball(0.1)
    fitted = fit(FORMS[0], x, log_error, np.ones(40), edge)
    drawn = log_errors(draw(FORMS[0], x, log_error, fitted, edge, np.random.default_rng(0)), x, None)
    on_edge = np.log(FORMS[0].value(fitted.theta, x))
    assert np.median(drawn, 0) == pytest.approx(on_edge, abs=0.09)
