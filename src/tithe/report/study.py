"""A study on the terminal: its first table, then what the numbers say about each claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tithe import human

COLOURS = {"holds": "green", "does not hold": "red", "not decided": "yellow"}
_ENDS = ("_low", "_high")


def table(content: Mapping[str, Any]) -> Table:
    """The first table; ends of intervals stand in brackets beside what they belong to."""
    first = next(iter(content["tables"].values()))
    made = Table(title=first["title"], box=SIMPLE_HEAD, title_style="bold", padding=(0, 1))
    made.title_justify = "left"
    columns = [column for column in first["columns"].values() if not column["name"].endswith(_ENDS)]
    for column in columns:
        heading = column["name"].replace("_", " ")
        unit = f"\n{column['unit']}, {column['how']}" if column["unit"] else ""
        made.add_column(heading + unit, justify="right" if column["unit"] else "left")
    for row in first["rows"]:
        made.add_row(*[_cell(row, column["name"]) for column in columns])
    return made


def _cell(row: Mapping[str, Any], name: str) -> str:
    ends = [row.get(name + end) for end in _ENDS]
    between = f" [{_plain(ends[0])}, {_plain(ends[1])}]" if None not in ends else ""
    return _plain(row.get(name)) + between


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return human.counted_out(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def verdicts(content: Mapping[str, Any]) -> list[RenderableType]:
    """Each claim with its verdict, the numbers and where it stands; then the notes."""
    said: list[RenderableType] = []
    for claim in content["claims"]:
        word = (f"{claim['verdict'].capitalize()}: ", f"bold {COLOURS[claim['verdict']]}")
        said.append(Text.assemble(word, claim["claim"]))
        said.append(Padding(Text(f"{claim['because']}\nClaimed in: {claim['source']}"), (0, 0, 1, 2)))
    return said + [Text(f"Note: {note}") for note in content["notes"]]
