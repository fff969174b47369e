"""Intervals and tests, against closed forms and against what noise does."""

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tithe.compare.stats import against_lowest, differ, holm, interval, welch


def test_the_interval_of_three_seeds_is_students():
    """t of 2 degrees of freedom is 4.3027 at 95 %."""
    low, high = interval([1.0, 2.0, 3.0]) or (0, 0)
    assert high == pytest.approx(2 + 4.302653 / math.sqrt(3), rel=1e-6)
    assert low == pytest.approx(4 - high)


def test_one_seed_has_no_interval_and_equal_ones_have_none_to_speak_of():
    assert interval([0.1]) is None
    assert interval([0.1, 0.1, 0.1]) == (pytest.approx(0.1), pytest.approx(0.1))


def test_intervals_hold_the_mean_as_often_as_they_say():
    dice = random.Random(1)
    trials = [interval([dice.gauss(5, 2) for _ in range(3)]) or (0, 0) for _ in range(1000)]
    assert 0.93 <= statistics.fmean(low <= 5 <= high for low, high in trials) <= 0.97


def test_holm_is_the_published_procedure():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_never_lowers_a_p_and_keeps_their_order(p):
    corrected = holm(p)
    assert all(raw <= new <= 1 for raw, new in zip(p, corrected, strict=True))
    order = sorted(range(len(p)), key=lambda place: p[place])
    assert [corrected[place] for place in order] == sorted(corrected)


def test_the_same_method_is_rarely_called_worse_than_itself():
    """Five tactics that are one: nearly all comparisons say so, though the lowest was picked."""
    dice = random.Random(2)

    def verdicts() -> set[str]:
        errors = {name: [dice.gauss(0.02, 0.002) for _ in range(5)] for name in "abcde"}
        return {judged.verdict for judged in against_lowest(errors).values()}

    wrong = sum("worse" in verdicts() for _ in range(300))
    assert wrong / 300 < 0.15


def test_what_is_clearly_worse_is_called_so():
    found = against_lowest(
        {"good": [0.010, 0.011, 0.012], "bad": [0.100, 0.101, 0.103], "alike": [0.011, 0.012, 0.013]}
    )
    assert {name: judged.verdict for name, judged in found.items()} == {
        "good": "lowest",
        "bad": "worse",
        "alike": "not told apart",
    }


def test_what_cannot_be_tested_is_said_to_be_untested():
    assert against_lowest({"a": [0.1], "b": [0.5]})["b"].verdict == "untested"
    assert against_lowest({"a": [0.1, 0.1], "b": [0.5, 0.5]})["b"].verdict == "untested"
    assert against_lowest({"a": [0.1, 0.1], "b": [0.1, 0.1]})["b"].verdict == "not told apart"
    assert welch([1.0], [2.0, 3.0]) is None


def test_values_that_hardly_differ_raise_no_warning():
    assert differ([5e9, 5e9 + 1e-6], [6e9, 6e9])
    assert interval([5e9, 5e9 + 1e-6])


def test_counts_that_do_not_vary_differ_when_they_differ():
    assert differ([5.0, 5.0], [6.0, 6.0])
    assert not differ([5.0, 5.0], [5.0, 5.0])
    assert not differ([5.0], [6.0])
