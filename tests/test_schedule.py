"""Schedules: where they start, where they end, and that they only fall."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tithe.schedule import FLOOR, SCHEDULES, cosine, cubic, linear

rates = st.floats(0, 1)
ENDS = {  # at the last step, from the rate
    "cosine": lambda rate: min(FLOOR, rate),
    "linear": lambda rate: min(FLOOR, rate),
    "cosine-to-zero": lambda rate: 0.0,
    "constant": lambda rate: rate,
}


@pytest.mark.parametrize("name", SCHEDULES)
@given(rate=rates, total=st.integers(1, 10**7))
def test_from_the_rate_down_to_the_floor_and_no_further(name: str, rate: float, total: int) -> None:
    schedule = SCHEDULES[name]
    assert schedule(0, total, rate) == pytest.approx(rate, abs=1e-12)
    end = schedule(total, total, rate)
    assert end == pytest.approx(ENDS[name](rate), abs=1e-12)
    assert schedule(2 * total, total, rate) == end


@pytest.mark.parametrize("name", SCHEDULES)
@given(rate=rates, total=st.integers(2, 10**6), step=st.integers(0, 10**6))
def test_never_rises(name: str, rate: float, total: int, step: int) -> None:
    assert SCHEDULES[name](step + 1, total, rate) <= SCHEDULES[name](step, total, rate) + 1e-15


def test_the_shapes() -> None:
    """Half way both have fallen by half; a quarter of the way the cosine by (1 - cos 45 degrees) / 2."""
    assert cosine(50, 100, 0.5) == pytest.approx((0.5 + FLOOR) / 2)
    assert linear(50, 100, 0.5) == pytest.approx((0.5 + FLOOR) / 2)
    assert cosine(25, 100, 0.5) == pytest.approx(0.5 - (0.5 - FLOOR) * (1 - math.cos(math.pi / 4)) / 2)
    assert linear(25, 100, 0.5) == pytest.approx(0.5 - (0.5 - FLOOR) / 4)
    assert SCHEDULES["cosine-to-zero"](25, 100, 0.5) == pytest.approx(0.25 * (1 + math.cos(math.pi / 4)))
    assert set(SCHEDULES) == set(ENDS)


@given(begin=st.integers(0, 100), length=st.integers(0, 100), step=st.integers(0, 300))
def test_the_cubic_way_of_pruning(begin: int, length: int, step: int) -> None:
    """s_t = s_f (1 - (1 - t)^3) for a start at full density: equation 1 of Zhu & Gupta."""
    end = begin + length
    done = cubic(step, begin, end)
    assert 0 <= done <= 1
    assert done <= cubic(step + 1, begin, end)
    if step >= end:
        assert done == 1
    elif step >= begin:
        assert done == pytest.approx(1 - (1 - (step - begin) / length) ** 3)
    else:
        assert done == 0
