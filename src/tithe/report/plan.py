"""A plan as tables, and what became of it: predicted beside measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tithe import human
from tithe.cost.figure import Figure, show

if TYPE_CHECKING:  # it brings torch, which a report does not need
    from tithe.cost.priced import Plan

_MISSING = "-"
_MEMORY = {
    "weights": "weights",
    "indices": "indices",
    "gradients": "gradients",
    "optimizer": "optimizer state",
    "activations": "activations",
    "scouting": "scouting",
}
_CHECKED = {
    "flop": "training FLOP",
    "seconds": "training time",
    "held": "memory",
    "held_peak": "memory while scouting",
}


def memory_table(plan: Plan) -> Table:
    """What each half holds, by category, and at the moments of the peaks."""
    rows = [(label, plan.sparse.memory[name], plan.dense.memory[name]) for name, label in _MEMORY.items()]
    rows.append(("peak outside scouting", plan.sparse.steady, plan.dense.steady))
    rows.append(("peak", plan.sparse.peak, plan.dense.peak))
    caption = (
        "Each category at its most; peaks are what is alive at one moment, so no sums. Data and the program itself "
        "come on top."
    )
    return _table("Memory" if plan.rates.devices == 1 else "Memory of each worker", plan, rows, caption)


def cost_table(plan: Plan) -> Table:
    """What the whole training takes."""
    sparse, dense = plan.sparse, plan.dense
    rows: list[tuple[str, Figure | None, Figure | None]] = [
        ("FLOP a step", sparse.step_flop, dense.step_flop),
        ("  while scouting", sparse.scouting_step_flop, None),
        ("training FLOP", sparse.flop, dense.flop),
        ("time", sparse.seconds, dense.seconds),
        ("  at least", _end(sparse.seconds, sparse.seconds.least), _end(dense.seconds, dense.seconds.least)),
        ("  at most", _end(sparse.seconds, sparse.seconds.most), _end(dense.seconds, dense.seconds.most)),
        ("energy", sparse.cost.kwh, dense.cost.kwh),
        ("CO2", sparse.cost.kg_co2, dense.cost.kg_co2),
        ("rent", sparse.cost.usd, dense.cost.usd),
        ("electricity", sparse.cost.usd_electricity, dense.cost.usd_electricity),
    ]
    if plan.rates.devices > 1:
        rows.append(("each sends, a step", sparse.exchanged, dense.exchanged))
        rows.append(("each sends, a rewiring", sparse.exchanged_rewiring, None))
    return _table("Training", plan, rows, _assumed(plan))


def _end(figure: Figure, value: float) -> Figure | None:
    """An end of the interval, where there is one."""
    return Figure(value, figure.unit, figure.how) if figure.has_interval else None


def _table(
    title: str,
    plan: Plan,
    rows: Sequence[tuple[str, Figure | None, Figure | None]],
    caption: str,
) -> Table:
    shown = Table(title=title, caption=caption, box=SIMPLE_HEAD, title_style="bold", caption_style="")
    shown.title_justify = shown.caption_justify = "left"
    shown.add_column("")
    for head in (f"sparse, {human.density(plan.sparse.density)}", "dense", "sparse / dense"):
        shown.add_column(head, justify="right")
    shown.add_column("known")
    for label, sparse, dense in rows:
        if sparse is None and dense is None:
            continue
        cells = [_MISSING if figure is None else figure.number() for figure in (sparse, dense)]
        known = dict.fromkeys(figure.how for figure in (sparse, dense) if figure is not None)
        shown.add_row(label, *cells, _ratio(sparse, dense), ", ".join(known))
    return shown


def _ratio(sparse: Figure | None, dense: Figure | None) -> str:
    return human.three_digits(sparse.value / dense.value) if sparse and dense and dense.value else _MISSING


def _assumed(plan: Plan) -> str:
    """Where, and on what the seconds rest."""
    rates = plan.rates
    device = f"{rates.devices} x {rates.device}" if rates.devices > 1 else rates.device
    steps = f"{plan.steps:,} steps, {plan.scouting_steps:,} of them scouting, {plan.rewirings} rewirings"
    if plan.measured:
        basis = "time rests on a few steps measured here"
    else:
        share = rates.utilisation
        basis = (
            f"time rests on {show(rates.peak.value, 'FLOP/s') if rates.peak else 'an unknown peak'} x a utilisation of "
        )
        basis += f"{share.value:g} ({share.least:g} to {share.most:g})"
    where = f"On {device}: {steps}; {basis}."
    if not plan.kernels:
        where += " There are no sparse kernels there: the sparse network is computed densely."
    return f"{where} Energy, CO2 and money are modelled from time; --json has every interval and source."


def check_table(report: Mapping[str, Any]) -> Table | None:
    """What `tithe train` predicted beside what it measured; None without a plan."""
    halves = {name: report[name]["plan"] for name in ("sparse", "dense") if report[name] and report[name].get("plan")}
    if not halves:
        return None
    shown = Table(title="The plan, checked", box=SIMPLE_HEAD, title_style="bold")
    shown.title_justify = "left"
    shown.add_column("")
    for head in ("planned", "came", "came / planned"):
        shown.add_column(head, justify="right")
    shown.add_column("known")
    for name, checks in halves.items():
        for label, check in checked(checks):
            shown.add_row(f"{name}: {label}", *_compared(check))
    return shown


def checked(checks: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What a half's plan is held against, with labels; memory while scouting only if something scouts or was to."""
    nothing_scouts = _values(checks.get("held")) == _values(checks.get("held_peak"))
    for quantity, label in _CHECKED.items():
        if checks.get(quantity) and not (nothing_scouts and quantity == "held_peak"):
            yield label, checks[quantity]


def _values(check: Mapping[str, Any] | None) -> list[float]:
    return [check[key]["value"] for key in ("predicted", "measured")] if check else []


def _compared(check: Mapping[str, Any]) -> list[str]:
    planned, came = Figure.from_json(check["predicted"]), Figure.from_json(check["measured"])
    ratio = _MISSING if check["ratio"] is None else human.three_digits(check["ratio"])
    known = planned.how if planned.how == came.how else f"{planned.how}, {came.how}"
    return [planned.number(), came.number(), ratio, known]
