"""A forecast in words."""

from __future__ import annotations

import math

import numpy as np

from tithe.cost.figure import Figure
from tithe.forecast import verdict
from tithe.forecast.breaks import Break
from tithe.forecast.forms import Array, Form
from tithe.forecast.result import Target
from tithe.forecast.words import beyond, number, percent, size, span

ALL = 0.995  # a share that two digits round to 100 %


def says(found: str, now: Figure, halving: Figure, target: Target, unit: str, broke: Break | None = None) -> str:
    """One sentence: what the target takes, how far that is from the runs, what halving takes; a break among them."""
    changed = "" if broke is None else f"; {_broke(broke, unit)}"
    goal = f"an error of {percent(target.error)}"
    between = span(target.amount.least, target.amount.most, unit)
    about = f"about {size(target.amount.value, unit)} ({between})"
    if target.decades_beyond <= 0:
        return f"{_capital(goal)} is within the runs: it takes {about}{changed}."
    far, halved = beyond(target.decades_beyond), _halved(now, halving, unit)
    share = "all" if target.unreachable > ALL else percent(target.unreachable, 2)
    never = f"{share} of the curves that fit never get there"
    said = {
        verdict.FORECAST: f"{goal} takes {about}, {far}; {halved}",
        verdict.SCENARIO: f"{goal} would take {about}, {far}: a scenario, no forecast; {halved}",
        verdict.FLOOR_OPEN: (
            f"{goal} takes {size(target.amount.least, unit)} or more and may be out of reach: the runs can't tell "
            f"where the error's floor is, and {never}; {halved}"
        ),
        verdict.OUT_OF_REACH: f"{goal} is out of reach of these runs' recipe at any size: {never}",
        verdict.TOO_FEW: f"there are too few runs to say: {goal} may take {between}; {halved}",
    }
    return f"{_capital(said[found])}{changed}."


def equation(form: Form, theta: Array, largest: float) -> str:
    """A fit with its numbers; C in the unit of the runs."""
    numbers = [f"{value:.3g}" for value in np.exp(theta)]
    return form.equation.format(*numbers, top=f"{largest:.3g}")


def _broke(broke: Break, unit: str) -> str:
    return (
        f"the slope changed among these runs at about {size(broke.at, unit)}, "
        f"and the forecast is made of the {broke.after} runs after it"
    )


def _halved(now: Figure, halving: Figure, unit: str) -> str:
    what = {"FLOP": "compute"}.get(unit, unit)
    if math.isinf(halving.most):
        return f"halving today's {percent(now.value)} takes {number(halving.least)} times the {what} or more"
    return (
        f"halving today's {percent(now.value)} takes {number(halving.value)} times the {what} "
        f"({number(halving.least)} to {number(halving.most)})"
    )


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
