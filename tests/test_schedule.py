"""Schedules: where they start, where they end, and that they only fall."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tithe.schedule import FLOOR, SCHEDULES, cosine, linear

rates = st.floats(0, 1)


@pytest.mark.parametrize("name", SCHEDULES)
@given(rate=rates, total=st.integers(1, 10**7))
def test_from_the_rate_down_to_the_floor_and_no_further(name: str, rate: float, total: int) -> None:
    schedule = SCHEDULES[name]
    assert schedule(0, total, rate) == pytest.approx(rate, abs=1e-12)
    end = schedule(total, total, rate)
    assert end == pytest.approx(min(FLOOR, rate), abs=1e-12)
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
    assert set(SCHEDULES) == {"cosine", "linear"}
