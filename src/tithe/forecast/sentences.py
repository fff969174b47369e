"""A forecast in words."""

from __future__ import annotations

import numpy as np

from tithe import human
from tithe.cost.figure import Figure, show
from tithe.forecast import verdict
from tithe.forecast.forms import Array, Form
from tithe.forecast.result import Target


def says(found: str, now: Figure, halving: Figure, target: Target, largest: float, unit: str) -> str:
    """One sentence: what the target takes, how far that is from the runs, and what halving takes."""
    goal = f"An error of {percent(target.error)}"
    between = f"{show(target.amount.least, unit)} to {show(target.amount.most, unit)}"
    size = f"about {show(target.amount.value, unit)} ({between})"
    if target.decades_beyond <= 0:
        return f"{goal} is within the runs: it takes {size}."
    open_floor = f"{percent(target.unreachable, 2)} of the curves that fit never get there"
    halved = f"halving today's {percent(now.value)} takes {times(halving)} the {_what(unit)}"
    return {
        verdict.FORECAST: f"{goal} takes {size}, {beyond(target.decades_beyond)}; {halved}.",
        verdict.SCENARIO: (
            f"{goal} would take {size}, {beyond(target.decades_beyond)}: a scenario, no forecast; {halved}."
        ),
        verdict.FLOOR_OPEN: (
            f"{goal} takes {show(target.amount.least, unit)} or more, and may be out of reach: {open_floor}, "
            f"and these runs can't tell whether the error has a floor; {halved}."
        ),
        verdict.OUT_OF_REACH: f"{goal} is out of reach of these runs' recipe at any size: {open_floor}.",
        verdict.TOO_FEW: f"Too few runs to say: {goal.lower()} may take {between}; {halved}.",
    }[found]


def beyond(decades: float) -> str:
    """0.3 decades -> 2 times the largest run."""
    if np.isinf(decades):
        return "beyond any size"
    if decades < 2:
        return f"{10**decades:.2g} times the largest run"
    return f"{decades:.1f} powers of ten beyond the largest run"


def times(factor: Figure) -> str:
    """512 times (60 to infinite)."""
    return f"{number(factor.value)} times ({number(factor.least)} to {number(factor.most)})"


def number(value: float) -> str:
    """Three digits, or a power of ten, or infinite."""
    if np.isinf(value):
        return "infinite"
    return human.three_digits(value) if value < 1e5 else f"{value:.1e}".replace("e+", "e")


def percent(fraction: float, digits: int = 3) -> str:
    """0.0512 -> 5.12 %."""
    return f"{100 * fraction:.{digits}g} %"


def equation(form: Form, theta: Array, largest: float) -> str:
    """A fit with its numbers; C in the unit of the runs."""
    numbers = [f"{value:.3g}" for value in np.exp(theta)]
    return form.equation.format(*numbers, top=f"{largest:.3g}")


def _what(unit: str) -> str:
    return {"FLOP": "compute"}.get(unit, unit)
