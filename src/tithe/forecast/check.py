"""Runs as they are given -> arrays that a fit can trust, or one sentence that says what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tithe.errors import UsageError
from tithe.forecast.forms import Array, Flags

FEWEST_RUNS = 4
FEWEST_FOR_FRONTIER = 10

AXES = {"compute": "compute", "data": "labels", "parameters": "parameters"}
"""What is scaled up -> the word for its amount."""


class Runs(NamedTuple):
    """Runs from small to large."""

    compute: Array  # FLOP, labels or parameters [n]
    error: Array  # fraction [n]


Where = Callable[[int], str]


def runs(compute: Sequence[float], error: Sequence[float], axis: str, where: Where | None = None) -> Runs:
    """Check and sort; `where` names a run in an error ("line 7"), by default by its place.

    Raises:
        UsageError: lengths differ, a number is missing, compute <= 0, an error outside (0, 1], fewer than 4 runs, or
            all runs of one size.
    """
    where = where or (lambda place: f"run {place}")
    amount = AXES[axis]
    sizes, errors = np.asarray(compute, dtype=float), np.asarray(error, dtype=float)
    if sizes.ndim != 1 or sizes.shape != errors.shape:
        raise UsageError(
            f"{amount} has shape {sizes.shape} and error {errors.shape}; "
            "give two lists of the same length, a number a run."
        )
    _refuse(~np.isfinite(sizes) | ~np.isfinite(errors), where, "has no number for {amount} or error; remove it", amount)
    _refuse(
        sizes <= 0, where, "has {amount} of 0 or less; only runs of more than 0 can be on a logarithmic scale", amount
    )
    if len(sizes) < FEWEST_RUNS:
        raise UsageError(
            f"{len(sizes)} {'run was' if len(sizes) == 1 else 'runs were'} given; "
            f"a forecast needs {FEWEST_RUNS} or more, of different sizes: measure more."
        )
    _check_range(errors, where)
    if len(np.unique(sizes)) == 1:
        raise UsageError(f"all {len(sizes)} runs have {amount} of {sizes[0]:g}; give runs of different sizes.")
    order = np.lexsort((errors, sizes))
    return Runs(sizes[order], errors[order])


def check_target(target: float | None) -> None:
    """Raises UsageError where it is no error."""
    if target is not None and not 0 < target < 1:
        raise UsageError(f"target {target:g} was given; give an error as a fraction above 0 and below 1: 0.05 for 5 %.")


def check_axis(axis: str) -> None:
    """Raises UsageError where there is none of that name."""
    if axis not in AXES:
        raise UsageError(f"axis {axis!r} was given; allowed are {', '.join(AXES)}.")


def _check_range(errors: Array, where: Where) -> None:
    """Errors are fractions; percentages are told apart from them, not guessed."""
    if errors.min() > 1 and errors.max() <= 100:
        raise UsageError(
            f"errors run from {errors.min():g} to {errors.max():g}, which looks like percent; "
            "give fractions in (0, 1], or --percent (percent=True)."
        )
    large = errors > 1
    if large.any() and errors[~large].min() > 0 and errors.max() <= 100:
        raise UsageError(
            f"mixed units: {where(int(np.argmax(large)))} has an error of {errors[np.argmax(large)]:g}, "
            f"{where(int(np.argmin(large)))} one of {errors[np.argmin(large)]:g}; "
            "write all of them as fractions in (0, 1]."
        )
    _refuse((errors <= 0) | (errors > 1), where, "has an error outside (0, 1]; errors are fractions: 0.05 for 5 %", "")


def _refuse(bad: Flags, where: Where, why: str, amount: str) -> None:
    """Name up to five of the runs that are bad."""
    places = np.flatnonzero(bad)
    if len(places):
        named = ", ".join(where(int(place)) for place in places[:5])
        more = f" and {len(places) - 5} more" if len(places) > 5 else ""
        raise UsageError(f"{named}{more} {why.format(amount=amount)}.")
