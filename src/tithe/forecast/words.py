"""Sizes, factors and errors as people read them."""

from __future__ import annotations

import math

from tithe import human
from tithe.cost.figure import show


def size(amount: float, unit: str) -> str:
    """5.68e25 FLOP: a power of ten where a prefix would not help; 41,200 labels; infinite FLOP."""
    if math.isinf(amount) or amount < 1e6:
        return show(amount, unit)
    return f"{_power(amount, 2)} {unit}"


def beyond(decades: float) -> str:
    """0.3 decades -> 2 times the largest run."""
    if math.isinf(decades):
        return "beyond any size"
    if decades < 2:
        return f"{10**decades:.2g} times the largest run"
    return f"{decades:.1f} powers of ten beyond the largest run"


def number(value: float) -> str:
    """Three digits, or a power of ten, or infinite."""
    if math.isinf(value):
        return "infinite"
    return human.three_digits(value) if value < 1e5 else _power(value, 1)


def span(low: float, high: float, unit: str) -> str:
    """Between two sizes: 3.08e18 to 3.34e18 FLOP; the unit once, where it is the same."""
    ends = size(low, unit), size(high, unit)
    (first, _, one), (_, _, other) = (end.rpartition(" ") for end in ends)
    return f"{first} to {ends[1]}" if one == other else " to ".join(ends)


def percent(fraction: float, digits: int = 3) -> str:
    """0.0512 -> 5.12 %, 0.996 with two digits -> 100 %."""
    shown = f"{100 * fraction:.{digits}g}"
    return f"{float(shown):g} %" if "e" in shown else f"{shown} %"


def _power(value: float, decimals: int) -> str:
    return f"{value:.{decimals}e}".replace("e+0", "e").replace("e+", "e")
