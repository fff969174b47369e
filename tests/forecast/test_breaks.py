"""A slope that changed among the runs: told where it is, not where there is none; what a forecast does then."""

import numpy as np
import pytest

from forecast.curves import floored, noisy, sizes
from tithe.forecast import fit
from tithe.forecast.breaks import AFTER, BEFORE, after_break
from tithe.forecast.check import Runs
from tithe.forecast.forms import Array
from tithe.forecast.loss import TYPICAL, Pinball

CHANGE = 10**1.5  # times the least compute


def bent(compute: Array, early: float, late: float) -> Array:
    """A power law whose slope changes at 1e15 x `CHANGE` FLOP."""
    ratio = compute / 1e15
    return 0.4 * np.minimum(ratio, CHANGE) ** -early * np.maximum(ratio / CHANGE, 1.0) ** -late


@pytest.mark.parametrize(("early", "late"), [(0.1, 0.3), (0.3, 0.05)])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_break_is_found_where_it_is(early: float, late: float, noise: float) -> None:
    compute = sizes(24, 3)
    error = noisy(bent(compute, early, late), noise, np.random.default_rng(0))
    used, found = after_break(Runs(compute, error), TYPICAL)
    assert found is not None
    assert abs(np.log10(found.at / (1e15 * CHANGE))) < 0.3
    assert found.before + found.after == len(compute)
    assert used.compute.tolist() == compute[found.before :].tolist()
    assert used.compute[0] > found.at


@pytest.mark.parametrize("floor", [0.0, 0.1])
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_no_break_is_found_where_there_is_none(floor: float, noise: float) -> None:
    """Ten draws: at one in 200, one alarm is rare and two are a mistake."""
    compute, alarms = sizes(12, 2.5), 0
    for seed in range(10 if noise else 1):
        error = noisy(floored(compute, floor, 0.3, 0.4), noise, np.random.default_rng(seed))
        alarms += after_break(Runs(compute, error), TYPICAL)[1] is not None
    assert alarms <= 1


def test_an_outlier_is_no_break() -> None:
    compute = sizes(12, 2)
    error = noisy(floored(compute, 0, 0.4, 0.2), 0.02, np.random.default_rng(0))
    for place in range(len(error)):
        bad = error.copy()
        bad[place] *= 1.5
        assert after_break(Runs(compute, bad), TYPICAL)[1] is None


def test_few_sizes_are_not_tested_however_many_runs() -> None:
    few = BEFORE + AFTER - 1
    compute = np.repeat(sizes(few, 3), 4)
    runs = Runs(compute, bent(compute, 0.1, 0.6))
    assert after_break(runs, TYPICAL) == (runs, None)


def test_enough_sizes_are_left_on_either_side() -> None:
    """A change behind the second size, or before the last two, can't be told from noise."""
    compute = sizes(16, 3)
    for change in (compute[1], compute[-2]):
        error = 0.4 * np.where(compute > change, (compute / change) ** -0.5, 1.0)
        _, found = after_break(Runs(compute, error), TYPICAL)
        assert found is None or (found.before >= BEFORE and found.after >= AFTER)


def test_the_best_achievable_is_not_tested() -> None:
    compute = sizes(24, 3)
    runs = Runs(compute, bent(compute, 0.1, 0.4))
    assert after_break(runs, Pinball(0.1)) == (runs, None)


def test_the_forecast_goes_on_from_the_break_and_says_so() -> None:
    compute = sizes(16, 3)
    error = noisy(bent(compute, 0.05, 0.3), 0.01, np.random.default_rng(1))
    found = fit(compute.tolist(), error.tolist())
    assert found.broke is not None
    assert "the slope changed among these runs at about" in found.says
    assert f"the {found.broke.after} runs after it" in found.says
    assert found.to_json()["break"] == found.broke._asdict()
    ahead = np.array([4e15 * CHANGE**2])
    low, _, high = found.errors(ahead, new_run=True)
    assert low[0] < bent(ahead, 0.05, 0.3)[0] < high[0]


def test_few_runs_after_a_break_are_too_few() -> None:
    compute = sizes(12, 3)
    error = np.where(compute < compute[8], 0.4 * (compute / 1e15) ** -0.02, 0.0)
    error[8:] = error[7] * (compute[8:] / compute[7]) ** -0.6
    found = fit(compute.tolist(), error.tolist())
    assert found.broke is not None
    assert found.broke.after <= 5
    assert found.verdict == "too few runs"


def test_without_a_break_nothing_is_said() -> None:
    compute = sizes(12, 3)
    found = fit(compute.tolist(), floored(compute, 0, 0.4, 0.2).tolist())
    assert found.broke is None
    assert found.to_json()["break"] is None
    assert "slope changed" not in found.says
