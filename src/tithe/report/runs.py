"""The ledger's runs in a table."""

from collections.abc import Callable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tithe import human
from tithe.cost.figure import show
from tithe.cost.run import Run

_MISSING = "-"
_COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {  # heading -> (field, how to show it)
    "id": ("id", str),
    "finished": ("finished", lambda when: when[:10]),
    "data": ("data", str),
    "model": ("model", str),
    "half": ("half", str),
    "density": ("density", human.density),
    "seed": ("seed", str),
    "epochs": ("epochs", str),
    "error": ("error", lambda error: human.percent(error, 2)),
    "FLOP": ("flop", lambda flop: show(flop, "FLOP")),
    "time": ("seconds", human.duration),
    "energy": ("kwh", lambda kwh: show(kwh, "kWh")),
    "rent": ("usd", lambda usd: show(usd, "USD")),
}
_SPARE = ("energy", "seed", "epochs", "finished", "rent")  # the first to go where there is no room
_TEXT = ("finished", "data", "model", "half")


def runs_table(runs: Sequence[Run], console: Console) -> Table:
    """A line a run; columns that no run fills are left out, and those that the console has no room for."""
    heads = [head for head, (field, _) in _COLUMNS.items() if any(getattr(run, field) is not None for run in runs)]
    spare = [head for head in _SPARE if head in heads]
    while spare and _width(_table(runs, heads), console) > console.width:
        heads.remove(spare.pop(0))
    return _table(runs, heads)


def _width(table: Table, console: Console) -> int:
    """What it would like to have."""
    return console.measure(table, options=console.options.update(max_width=1000)).maximum


def _table(runs: Sequence[Run], heads: Sequence[str]) -> Table:
    shown = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in heads:
        shown.add_column(head, justify="left" if head in _TEXT else "right", overflow="fold")
    for run in runs:
        shown.add_row(*(_cell(run, *_COLUMNS[head]) for head in heads))
    return shown


CAPTION = "Errors and times are measured, FLOP counted, energy and rent mostly modelled: see --json for each."


def _cell(run: Run, field: str, shows: Callable[[Any], str]) -> str:
    value = getattr(run, field)
    if field == "error" and run.status != "finished":
        return run.status
    return _MISSING if value is None else shows(value)
