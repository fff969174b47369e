"""What came out of a tuning: the best values, what they reach on the test set, and what finding them has cost."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import tithe
from tithe import human
from tithe.cost.figure import Figure, show_in_brief
from tithe.train.recipe import Recipe
from tithe.tune.plan import Plan
from tithe.tune.trial import BILLED, Outcome, billed

RESULT = "result.json"
FORMAT = 1
NORMAL_95 = 1.96  # standard errors: two-sided 95 % of a normal distribution


def result(
    plan: Plan,
    recipe: Recipe,
    outcomes: Sequence[Outcome],
    best: Outcome,
    final: Mapping[str, Any],
    validating: int,
) -> dict[str, Any]:
    """All of it, as JSON holds it; `validating` is the number of examples that are held out."""
    half, data = final["sparse"], final["data"]
    content: dict[str, Any] = {
        "format": FORMAT,
        "tithe": tithe.__version__,
        "data": {name: data[name] for name in ("name", "n_train", "n_test")} | {"n_validation": validating},
        "model": recipe.model,
        "method": recipe.method,
        "density": recipe.density,
        "epochs": recipe.epochs,
        "seed": recipe.seed,
        "machine": final["machine"],
        "cost": plan.cost,
        "budget": None if plan.budget is None else {"kind": plan.budget[0], "amount": plan.budget[1]},
        "space": [asdict(param) for param in plan.space],
        "trials": [_trial(outcome) for outcome in outcomes],
        "best": _trial(best) | {"validation_error": _error(best.error or 0.0, validating, "validation").json()},
        "recipe": final["recipe"],
        "test_error": _error(1 - half["accuracy"], data["n_test"], "test").json(),
        "bill": {
            "tuning": total([outcome.bill for outcome in outcomes], f"sum of {len(outcomes)} trials"),
            "final": billed(half["bill"]),
        },
        "rates": half["bill"]["rates"] if half["bill"] else None,
    }
    return content | {"says": says(content)}


def total(bills: Sequence[Mapping[str, Any]], source: str) -> dict[str, Any]:
    """The sums of several bills, {name: Figure.json}; what one of them does not know is left out."""
    known = [name for name in BILLED if bills and all(name in bill for bill in bills)]
    return {name: _sum([Figure.from_json(bill[name]) for bill in bills], source).json() for name in known}


def _sum(figures: Sequence[Figure], source: str) -> Figure:
    whole = functools.reduce(Figure.plus, figures)
    return whole.saying(f"{source}; {whole.source}")


def _error(error: float, examples: int, what: str) -> Figure:
    """A fraction of so many examples with the interval that their number leaves (Wilson 1927)."""
    z2 = NORMAL_95**2 / examples
    centre, half = error + z2 / 2, NORMAL_95 * math.sqrt(error * (1 - error) / examples + z2 / examples / 4)
    low, high = max(0.0, (centre - half) / (1 + z2)), min(1.0, (centre + half) / (1 + z2))
    source = f"{what} examples, after the last epoch; 95 % interval for {examples} examples (Wilson)"
    return Figure(error, "1", "measured", min(low, error), max(high, error), source)


def _trial(outcome: Outcome) -> dict[str, Any]:
    return asdict(outcome)


def says(content: Mapping[str, Any]) -> list[str]:
    """The sentences, most important first."""
    return [_found(content), _gain(content), _test(content), _cost(content), _ended(content)]


def _found(content: Mapping[str, Any]) -> str:
    best = content["best"]
    values = ", ".join(f"{name} {value:.3g}" for name, value in best["params"].items())
    model = best["recipe"].get("model")
    return f"Best of {len(content['trials'])} trials: {values}{f' ({model})' if model else ''}."


def _gain(content: Mapping[str, Any]) -> str:
    """Against the recipe as it was, on the same examples."""
    best, n = content["best"], content["data"]["n_validation"]
    decimals = human.accuracy_decimals(n)
    first = content["trials"][0]
    said = f"Validation error {human.percent(best['error'], decimals)} of {n} examples"
    if first["number"] == best["number"]:
        return f"{said}: no trial was better than the recipe as it was."
    if first["ended"] != "finished":
        return f"{said}; the recipe as it was {first['ended']}."
    said += f"; the recipe as it was reached {human.percent(first['error'], decimals)}"
    if not _differ(best["error"], first["error"], n):
        return f"{said}, which so few examples do not tell apart."
    return f"{said}. The best of many looks better than it is: what counts is the test error."


def _differ(first: float, second: float, n: int) -> bool:
    """Whether two errors on n examples differ by more than 1.96 standard errors of independent ones."""
    return abs(first - second) > NORMAL_95 * math.sqrt((first * (1 - first) + second * (1 - second)) / n)


def _test(content: Mapping[str, Any]) -> str:
    error, n = content["test_error"], content["data"]["n_test"]
    decimals = human.accuracy_decimals(n)
    low, high = (100 * error[name] for name in ("low", "high"))
    return (
        f"Trained with it on the whole training set, the test error is {human.percent(error['value'], decimals)} "
        f"({low:.{decimals}f} to {high:.{decimals}f} %)."
    )


_OF = {"kg_co2": " of CO2", "usd": " of rent"}  # what a unit does not say


def _cost(content: Mapping[str, Any]) -> str:
    tuning, final = content["bill"]["tuning"], content["bill"]["final"]
    parts = {n: f"{amount(tuning[n])}{_OF.get(n, '')} ({tuning[n]['how']})" for n in BILLED[:5] if n in tuning}
    said = "Tuning took " + ", ".join(parts.values())
    if "flop" in tuning and final["flop"]["value"]:
        said += f": {tuning['flop']['value'] / final['flop']['value']:.1f} times the FLOP of the last training"
    return f"{said}."


def amount(figure: Mapping[str, Any]) -> str:
    """Value and unit in three digits, small sums of money too."""
    return show_in_brief(figure["value"], figure["unit"])


def _ended(content: Mapping[str, Any]) -> str:
    counts = {how: sum(t["ended"] == how for t in content["trials"]) for how in ("finished", "stopped", "diverged")}
    saved = sum(content["epochs"] - t["epochs"] for t in content["trials"])
    said = f"Trials: {counts['finished']} went to the end, {counts['stopped']} stopped early"
    if counts["diverged"]:
        said += f", {counts['diverged']} diverged"
    return f"{said}; that spared {saved} of {content['epochs'] * len(content['trials'])} epochs."
