"""A forecast as tables and sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tithe.cost.figure import Figure
from tithe.forecast.result import Forecast
from tithe.forecast.words import number, percent, size, span

_MISSING = "-"


def answer(forecast: Forecast) -> Table:
    """What the target takes, with intervals and how each figure is known."""
    shown = Table(title=_title(forecast), box=SIMPLE_HEAD, title_style="bold", padding=(0, 1, 0, 0))
    shown.title_justify = "left"
    shown.add_column("")
    shown.add_column("about", justify="right")
    shown.add_column(f"{percent(forecast.level)} interval", justify="right")
    shown.add_column("known")
    now, halving, target = forecast.now, forecast.halving_factor, forecast.target
    shown.add_row("error of the curve now", percent(now.value), _errors(now), now.how)
    shown.add_row(
        f"times the {_what(forecast)} for half of it",
        number(halving.value),
        f"{number(halving.least)} to {number(halving.most)}" if math.isfinite(halving.least) else _MISSING,
        halving.how,
    )
    amount = target.amount
    label = f"{percent(target.error)} error: {forecast.axis}"
    shown.add_row(label, size(amount.value, amount.unit), _sizes(amount), amount.how)
    for name, figure in target.cost.items():
        if figure is not None and math.isfinite(figure.least):
            shown.add_row(f"  {_COSTS[name]}", size(figure.value, figure.unit), _sizes(figure), figure.how)
    return shown


_COSTS = {"hours": "time", "kwh": "energy", "kg_co2": "CO2", "usd": "money"}


def forms(forecast: Forecast) -> Table:
    """The forms side by side: what each would say alone, and how much it counts."""
    shown = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    heads = (
        "form",
        "counts",
        "extrapolates to",
        "exponent",
        "floor",
        "halving",
        f"{percent(forecast.target.error)} error",
    )
    for head in heads:
        shown.add_column(head, justify="left" if head == "form" else "right")
    for form in forecast.forms.values():
        off = form.extrapolation_error
        shown.add_row(
            form.name.replace("_", " "),
            percent(form.weight, 2),
            _MISSING if off is None else f"{percent(off, 2)} of the error",
            _between(form.exponent, number),
            _between(form.floor, lambda value: percent(value, 2)),
            number(form.halving_factor.value),
            size(form.target.value, form.target.unit),
        )
    return shown


def sentences(forecast: Forecast) -> Iterable[str]:
    """What it comes to, how far it may be trusted, what would settle it."""
    yield f"{forecast.says}"
    yield f"Verdict: {forecast.verdict}. {forecast.settle}"
    tried = forecast.held_out
    if tried is not None:
        yield (
            f"Tried on these runs: from the {tried.fitted} smaller ones the {tried.predicted} larger are forecast to "
            f"{100 * tried.mean_absolute_error:.2g} points (a pure power law: {100 * tried.power_law_error:.2g}), "
            f"{_side(tried.bias)}; {tried.inside} of {tried.predicted} are inside the interval."
        )
    line = forecast.line
    yield (
        f"As the literature fits it (least squares through the logarithms): {forecast.axis} grows with the power of "
        f"{number(line.exponent)} of the improvement ({number(line.low)} to {number(line.high)}; R2 {line.r2:.2f})."
    )
    rates = forecast.assumed.get("rates")
    if rates:
        yield (
            f"Priced on {rates['devices']} x {rates['device']} at "
            f"{percent(rates['utilisation']['value'], 2)} of its peak (assumed); --on names another device."
        )


def _title(forecast: Forecast) -> str:
    sizes = span(float(forecast.compute[0]), float(forecast.compute[-1]), forecast.unit)
    return f"Error over {forecast.axis}: {len(forecast.compute)} runs, {sizes}; the {forecast.kind} run"


def _what(forecast: Forecast) -> str:
    return {"FLOP": "compute"}.get(forecast.unit, forecast.unit)


def _side(bias: float) -> str:
    side = "too optimistic" if bias < 0 else "too pessimistic"
    return f"on average {100 * abs(bias):.2g} points {side}"


def _errors(figure: Figure) -> str:
    return f"{percent(figure.least)} to {percent(figure.most)}" if figure.has_interval else _MISSING


def _sizes(figure: Figure) -> str:
    return span(figure.least, figure.most, figure.unit) if math.isfinite(figure.least) else _MISSING


def _between(figure: Figure | None, show: Callable[[float], str]) -> str:
    if figure is None:
        return _MISSING
    if math.isinf(figure.most):
        return f"{show(figure.value)} ({show(figure.least)} or more)"
    return f"{show(figure.value)} ({show(figure.least)} to {show(figure.most)})"
