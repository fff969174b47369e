"""What is tuned: each hyper-parameter with its range, and where its search begins."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tithe.errors import UsageError
from tithe.methods import find
from tithe.train.recipe import Recipe
from tithe.tune.shapes import family, named


@dataclass(frozen=True)
class Param:
    """One hyper-parameter: from `low` to `high`, both included."""

    name: str
    low: float
    high: float
    start: float  # the recipe's own value, which the first trial has
    log: bool = False  # whether factors count, not differences
    whole: bool = False

    def says(self) -> str:
        """For people: lr 0.01 to 1."""
        return f"{self.name} {self.low:g} to {self.high:g}"


def _lr(recipe: Recipe) -> Param:
    return Param("lr", recipe.lr / 10, 10 * recipe.lr, recipe.lr, log=True)


def _rate(recipe: Recipe) -> Param:
    own = find(recipe.method).defaults().get("rate")
    if own is None:
        raise UsageError(f"method {recipe.method} drops no fraction of the weights again and again: leave rate out.")
    return Param("rate", 0.05, 0.9, recipe.rate or own)


def _weight_decay(recipe: Recipe) -> Param:
    return Param("weight-decay", 1e-6, 1e-2, recipe.weight_decay, log=True)


def _density(recipe: Recipe) -> Param:
    entry, density = find(recipe.method), recipe.density
    if entry.start != "sparse" and "density" not in entry.defaults():
        raise UsageError(f"method {recipe.method} has no density: leave density out.")
    return Param("density", density / 4, min(1.0, 4 * density), density, log=True)


def _width(recipe: Recipe) -> Param:
    family(recipe.model or "")
    return Param("width", 0.25, 4.0, 1.0, log=True)


def _depth(recipe: Recipe) -> Param:
    found = family(recipe.model or "")
    return Param("depth", 1, found.deepest, found.depth, whole=True)


PARAMS: dict[str, Callable[[Recipe], Param]] = {
    "lr": _lr,
    "rate": _rate,
    "weight-decay": _weight_decay,
    "density": _density,
    "width": _width,
    "depth": _depth,
}
"""Name -> its default range for a recipe. `width` multiplies all widths; `depth` is the number of hidden layers, or of
blocks in each group of a wide residual network."""


def space(names: Sequence[str], ranges: Mapping[str, tuple[float, float]], recipe: Recipe) -> tuple[Param, ...]:
    """The hyper-parameters of these names, and those of the ranges; learning rate, weight decay and drop fraction where
    nothing is named.

    Raises:
        UsageError: a name that is not known, or a range that is not one or does not hold the recipe's own value.
    """
    wanted = dict.fromkeys([*names, *ranges]) or _usual(recipe)
    return tuple(_ranged(_find(name)(recipe), ranges.get(name)) for name in wanted)


def searched(recipe: Recipe) -> tuple[Param, ...]:
    """What the tactic `search` chooses: how widths taper, and the depth where the model's name says one."""
    found = named(recipe.model or "")
    start = found.taper if found else 1.0
    taper = Param("taper", min(0.25, start), max(4.0, start), start, log=True)
    return (_depth(recipe), taper) if found else (taper,)


def fields(params: Mapping[str, float], recipe: Recipe) -> dict[str, Any]:
    """The fields of a recipe that a trial with these values changes."""
    changed: dict[str, Any] = {
        name.replace("-", "_"): value for name, value in params.items() if name not in ("width", "depth")
    }
    if params.keys() & {"width", "depth"}:
        found = family(recipe.model or "")
        changed["model"] = found.scaled(params.get("width", 1.0), int(params.get("depth", found.depth)))
    return changed


def _usual(recipe: Recipe) -> list[str]:
    rate = ["rate"] if "rate" in find(recipe.method).defaults() else []
    return ["lr", *rate, "weight-decay"]


def _find(name: str) -> Callable[[Recipe], Param]:
    if name in PARAMS:
        return PARAMS[name]
    near = difflib.get_close_matches(name.lower().replace("_", "-"), [*PARAMS, "learning-rate"], n=1)
    advice = f"; did you mean {'lr' if near == ['learning-rate'] else near[0]}?" if near else "."
    raise UsageError(f"{name!r} cannot be tuned: choose of {', '.join(PARAMS)}{advice}")


_LIMITS = {
    "lr": (0, math.inf),
    "rate": (0, 1),
    "weight-decay": (0, math.inf),
    "density": (0, 1),
    "width": (0, math.inf),
}


def _ranged(param: Param, given: tuple[float, float] | None) -> Param:
    """The parameter with the range that was given."""
    low, high = given or (param.low, param.high)
    least, most = _LIMITS.get(param.name, (0, math.inf))
    above = least < low < high <= most and high < math.inf and not (param.name == "rate" and high == 1)
    if not above or (param.whole and (low != int(low) or high != int(high))):
        kind = "whole numbers" if param.whole else "numbers"
        upto = f" and at most {most:g}" if most < math.inf else ""
        raise UsageError(
            f"the range {low:g}:{high:g} of {param.name} is not possible: give two {kind} above 0{upto}, the lower "
            "first."
        )
    if not low <= param.start <= high:
        raise UsageError(
            f"the range {low:g}:{high:g} of {param.name} does not hold the recipe's own {param.start:g}, with which "
            f"the first trial begins: widen it with --range {param.name}=LOW:HIGH, or give another start."
        )
    return Param(param.name, low, high, param.start, param.log, param.whole)
