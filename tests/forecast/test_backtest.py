"""Weighing the forms by how they extrapolate."""

import numpy as np
import pytest

from forecast.curves import floored, noisy, sizes
from tithe.forecast.backtest import backtest
from tithe.forecast.loss import TYPICAL
from tithe.forecast.prior import SHARES


def test_three_runs_leave_what_was_assumed() -> None:
    found = backtest(np.log(sizes(3, 1)), np.log([0.4, 0.3, 0.25]), TYPICAL)
    assert found.origins == 0
    assert found.weights == pytest.approx(np.array(list(SHARES.values())) / sum(SHARES.values()))


@pytest.mark.parametrize(("floor", "slope", "winner"), [(0.15, 0.5, 1), (0.0, 0.2, 0)])
def test_the_true_form_wins(floor: float, slope: float, winner: int) -> None:
    compute = sizes(10, 3)
    error = noisy(floored(compute, floor, 0.3, slope), 0.005, np.random.default_rng(0))
    weights = backtest(np.log(compute), np.log(error), TYPICAL).weights
    assert sum(weights) == pytest.approx(1)
    assert weights[winner] > 0.9


def test_runs_of_one_size_are_never_parted() -> None:
    """Two seeds a size: five origins at most, and the same weights whichever seed comes first."""
    compute = np.repeat(sizes(6, 2), 2)
    error = noisy(floored(compute, 0.1, 0.3, 0.4), 0.01, np.random.default_rng(0))
    swapped = error.reshape(-1, 2)[:, ::-1].ravel()
    one, other = (backtest(np.log(compute), np.log(e), TYPICAL) for e in (error, swapped))
    assert one.origins <= 5
    assert one.weights == pytest.approx(other.weights, rel=1e-6)


def test_many_runs_have_few_origins() -> None:
    compute = sizes(200, 4)
    assert backtest(np.log(compute), np.log(floored(compute, 0.1, 0.3, 0.4)), TYPICAL).origins == 12
