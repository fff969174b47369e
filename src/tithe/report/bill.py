"""The bill in a table: what each half took and costs, beside each other, and what is assumed."""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tithe import human
from tithe.cost.bill import LABELS
from tithe.cost.figure import Figure

_MISSING = "-"
_COUNTED = ("codecarbon", "zeus")
HALVES = ("sparse", "dense")


def bills(report: Mapping[str, Any]) -> dict[str, dict[str, Figure]]:
    """{half: {name: figure}} of the halves that were metered."""
    found = {half: report[half].get("bill") for half in HALVES if report.get(half)}
    return {half: figures(bill) for half, bill in found.items() if bill}


def figures(bill: Mapping[str, Any]) -> dict[str, Figure]:
    """The figures of a bill as JSON that are known."""
    return {name: Figure.from_json(bill[name]) for name in LABELS if bill.get(name)}


def bill_table(report: Mapping[str, Any]) -> Table | None:
    """What each half took and costs; None where nothing was metered."""
    halves = bills(report)
    if not halves:
        return None
    shown = Table(title="The bill", caption=assumptions(report), box=SIMPLE_HEAD, title_style="bold", caption_style="")
    shown.title_justify = shown.caption_justify = "left"
    shown.add_column("")
    for half in halves:
        shown.add_column(half, justify="right")
    if len(halves) == 2:
        shown.add_column("sparse / dense", justify="right")
    shown.add_column("known")
    for name, label in LABELS.items():
        known = {half: found[name] for half, found in halves.items() if name in found}
        if known:
            shown.add_row(label, *_cells(halves, known), next(iter(known.values())).how)
    return shown


def _cells(halves: Mapping[str, Any], known: Mapping[str, Figure]) -> list[str]:
    cells = [known[half].number() if half in known else _MISSING for half in halves]
    if len(halves) < 2:
        return cells
    both = len(known) == 2 and known["dense"].value
    return [*cells, human.three_digits(known["sparse"].value / known["dense"].value) if both else _MISSING]


def assumptions(report: Mapping[str, Any]) -> str:
    """What stands between seconds and money, in sentences, with the intervals that the figures do not show."""
    bill = next(report[half]["bill"] for half in HALVES if report.get(half) and report[half].get("bill"))
    rates = {name: Figure.from_json(value) for name, value in bill["rates"].items() if isinstance(value, dict)}
    kwh = Figure.from_json(bill["kwh"])
    parts = [
        kwh.source.split("; PUE")[0] if kwh.source.startswith(_COUNTED) else f"{_between(rates['watts'])} under load",
        f"PUE {_between(rates['pue'])}",
        f"{_between(rates['kg_co2_per_kwh'])} of CO2",
        f"{_between(rates['usd_per_kwh'])}",
    ]
    if "usd_per_hour" in rates:
        parts.append(f"rent {_between(rates['usd_per_hour'])}")
    return (
        f"Time is that of the whole half, evaluation and checkpoints included. Assumed: {'; '.join(parts)}. "
        "report.json has each figure's interval and every source."
    )


def _between(figure: Figure) -> str:
    """21.5 W (15.5 to 33.5)."""
    number, unit = f"{figure.value:.3g}", "" if figure.unit == "1" else f" {figure.unit}"
    between = f" ({figure.least:.3g} to {figure.most:.3g})" if figure.has_interval else ""
    return f"{number}{unit}{between}"
