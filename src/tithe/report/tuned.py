"""A tuning in tables for the terminal: its trials, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tithe import human
from tithe.cost.bill import LABELS
from tithe.cost.figure import show
from tithe.tune.result import amount

MOST_ROWS = 20


def tables(content: Mapping[str, Any]) -> list[Table]:
    """The trials, lowest error first; then the bill."""
    return [_trials(content), _bill(content)]


def title(content: Mapping[str, Any]) -> str:
    """rigl on mlp:24-16, digits: 12 trials of 20 epochs."""
    return (
        f"{content['method']}, {content['model']} on {content['data']['name']}: {len(content['trials'])} trials of "
        f"{content['epochs']} epochs"
    )


def _trials(content: Mapping[str, Any]) -> Table:
    names = [param["name"] for param in content["space"]]
    made = _table(title(content), _caption(content), ["trial", *names, "error", "epochs", "FLOP", "time"])
    decimals = human.accuracy_decimals(content["data"]["n_validation"])
    for trial in ordered(content)[:MOST_ROWS]:
        error = "diverged" if trial["error"] is None else human.percent(trial["error"], decimals)
        ended = f"{trial['epochs']} of {content['epochs']}"
        cells = [f"{trial['params'][name]:.3g}" for name in names]
        time = trial["bill"]["seconds"]["value"] if trial["bill"] else trial["seconds"]
        made.add_row(str(trial["number"]), *cells, error, ended, show(trial["flop"], "FLOP"), human.duration(time))
    made.add_section()
    made.add_row("known", *["" for _ in names], "measured", "", "counted", "measured")
    return made


def ordered(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Finished trials by error, then the others by how far they came."""

    def place(trial: Mapping[str, Any]) -> tuple[Any, ...]:
        error = 1.0 if trial["error"] is None else trial["error"]
        return trial["ended"] != "finished", -trial["epochs"], error, trial["flop"]

    return sorted(content["trials"], key=place)


def _caption(content: Mapping[str, Any]) -> str:
    rest = len(content["trials"]) - MOST_ROWS
    more = f" {rest} more are in result.json." if rest > 0 else ""
    n = content["data"]["n_validation"]
    return f"Errors are on {n} examples held out of the training set. Trial 0 is the recipe as it was.{more}"


def _bill(content: Mapping[str, Any]) -> Table:
    tuning, final = content["bill"]["tuning"], content["bill"]["final"]
    caption = (
        "Energy, CO2 and rent rest on assumptions that are in result.json. Time has evaluation in it, FLOP have not."
    )
    made = _table("What it took", caption, ["", "tuning", "last training", "known"])
    for name, figure in tuning.items():
        last = amount(final[name]) if name in final else "-"
        made.add_row(LABELS[name], amount(figure), last, figure["how"])
    return made


def _table(heading: str, caption: str, columns: list[str]) -> Table:
    made = Table(title=heading, caption=caption, box=SIMPLE_HEAD, title_style="bold", caption_style="", padding=(0, 1))
    made.title_justify = made.caption_justify = "left"
    for place, column in enumerate(columns):
        made.add_column(column, justify="right" if place else "left", no_wrap=True)
    return made
