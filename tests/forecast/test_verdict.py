"""What a forecast may call itself."""

import math

import pytest

from tithe.forecast import verdict
from tithe.forecast.verdict import FLOOR_OPEN, FORECAST, OUT_OF_REACH, SCENARIO, TOO_FEW


@pytest.mark.parametrize(
    ("sizes", "decades", "unreachable", "said"),
    [
        (8, -0.3, 0.0, FORECAST),
        (8, 0.99, 0.0, FORECAST),
        (8, 1.01, 0.0, SCENARIO),
        (8, 4.0, 0.04, SCENARIO),
        (8, 0.5, 0.3, FLOOR_OPEN),
        (8, math.inf, 0.7, FLOOR_OPEN),
        (8, math.inf, 0.99, OUT_OF_REACH),
        (5, 0.5, 0.0, TOO_FEW),
        (5, math.inf, 1.0, TOO_FEW),
        (5, -0.1, 0.0, FORECAST),  # within the runs
    ],
)
def test_verdict(sizes: int, decades: float, unreachable: float, said: str) -> None:
    assert verdict.verdict(sizes, decades, unreachable) == said
