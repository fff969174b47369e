"""What can be asked for as a budget, and what a pilot makes of it."""

import pytest

from tithe.compare.budget import Budget, parsed
from tithe.compare.pilot import MOST_TRIALS, closer, dense_flop, epochs_for, lengths
from tithe.errors import UsageError
from tithe.train import data
from tithe.train.defaults import complete
from tithe.train.recipe import Timetable


@pytest.mark.parametrize(
    ("text", "kind", "amount"),
    [
        ("20", "epochs", 20),
        ("20epochs", "epochs", 20),
        ("1 epoch", "epochs", 1),
        ("2e12FLOP", "flop", 2e12),
        ("2.5 TFLOP", "flop", 2.5e12),
        ("flop", "flop", None),
        ("90s", "seconds", 90),
        ("1.5 min", "seconds", 90),
        ("2h", "seconds", 7200),
        ("epochs", "epochs", None),
    ],
)
def test_a_budget_is_a_number_with_its_unit(text, kind, amount):
    assert parsed([text], None) == Budget(kind, amount)


@pytest.mark.parametrize(
    "text", ["", "much", "20 parsecs", "1.2.3s", "seconds", "-3s", "0 FLOP", "2.5 epochs", "1e999s"]
)
def test_what_is_no_budget_is_refused_by_name(text):
    with pytest.raises(UsageError, match=r"--budget.*(write|give|epochs|whole)"):
        parsed([text], None)


def test_budgets_that_contradict_each_other_are_refused_and_equal_ones_are_not():
    for texts, epochs in ((["20epochs", "2s"], None), (["1e12FLOP"], 5), (["3epochs"], 4)):
        with pytest.raises(UsageError, match="contradict"):
            parsed(texts, epochs)
    assert parsed(["3epochs"], 3) == Budget("epochs", 3)
    assert parsed(["flop"], 3) == Budget("flop", None)  # of three epochs of dense training
    assert parsed(["60s", "1min"], None) == Budget("seconds", 60)


def test_epochs_follow_from_two_pilots():
    """FLOP(E) = 10 E + 70 R(E), rewired every 225 steps of which an epoch has 45, is met; seconds go by the mean."""
    times = Timetable(steps_per_epoch=45, total_steps=0, rewire_every=225, lr_drop_steps=())
    pilots = [(5, 50.0), (10, 170.0)]
    assert epochs_for(Budget("flop", 10 * 15 + 70 * 2), pilots, times) == 15
    assert epochs_for(Budget("flop", 10 * 16 + 70 * 3), pilots, times) == 16
    assert epochs_for(Budget("flop", 10 * 200 + 70 * 39), pilots, times) == 200
    assert epochs_for(Budget("seconds", 60), [(5, 1.0), (10, 2.0)], times) == 300
    assert epochs_for(Budget("flop", 1), [(1, 100), (2, 200)], times) == 0


@pytest.mark.parametrize(
    ("flop", "guess"),
    [
        (lambda epochs: 10 * epochs, 7),
        (lambda epochs: 300 + 2 * epochs, 40),  # nearly all of it at the beginning
        (lambda epochs: 200 * epochs**0.5, 90),  # sparser the longer it goes on, as group lasso is
        (lambda epochs: 100 * max(1, epochs // 2), 3),  # in stairs
    ],
)
def test_trials_end_within_2_percent_or_as_near_as_whole_epochs_come(flop, guess):
    budget = Budget("flop", 1000)
    tried, after = {}, guess
    while after is not None:
        tried[after] = flop(after)
        closest, after = closer(budget, tried)
    best = min(abs(flop(epochs) - 1000) for epochs in range(1, 1000))
    assert abs(flop(closest) - 1000) <= max(20, best)
    assert len(tried) <= MOST_TRIALS


def test_trials_end_where_an_epoch_is_too_much_and_where_the_costs_make_no_sense():
    assert closer(Budget("flop", 100), {1: 150.0}) == (1, None)
    assert closer(Budget("flop", 10), {6: 2.0, 5: 3.0})[1] == 17  # in proportion to the closest
    assert closer(Budget("seconds", 10), {11: 7.33, 15: 7.2}) == (11, 21)  # to the latest
    tried = {epochs: 1.0 + epochs / 100 for epochs in range(1, 1 + MOST_TRIALS)}
    assert closer(Budget("seconds", 10), tried) == (MOST_TRIALS, None)


def test_pilots_that_cannot_tell_epochs_from_rewirings_give_a_straight_line():
    times = Timetable(steps_per_epoch=45, total_steps=0, rewire_every=100, lr_drop_steps=())
    assert epochs_for(Budget("flop", 1050), [(3, 80), (6, 110)], times) == 100


def test_pilots_differ_by_a_period_of_rewiring():
    digits = data.load("digits")
    recipe = complete("digits", {"model": "mlp:16", "batch_size": 32, "method": "sparse-momentum"})
    assert lengths(recipe, len(digits.y_train)) == (5, 10)  # 45 steps an epoch, rewired every 200 or more


def test_dense_flop_is_the_closed_form():
    digits = data.load("digits")
    recipe = complete("digits", {"model": "mlp:24", "batch_size": 32, "epochs": 3})
    a_step_and_example = 2 * (2 * 64 * 24 + 3 * 24 * 10)  # nobody needs the gradient of the pixels
    assert dense_flop(recipe, digits) == 3 * len(digits.y_train) * a_step_and_example
