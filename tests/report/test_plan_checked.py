"""What was predicted beside what came, on the terminal and on the page."""

import io
from typing import Any

import pytest
from rich.console import Console

from report.runs import half
from report.test_page import story, text
from tithe.cost.figure import Figure
from tithe.report import check_table, page


def _memory(predicted: int, measured: int) -> dict[str, Any]:
    figures = (Figure(predicted, "B", "counted"), Figure(measured, "B", "measured"))
    return {"predicted": figures[0].json(), "measured": figures[1].json(), "ratio": measured / predicted}


def _said(checks: dict[str, Any]) -> tuple[str, str]:
    """Terminal and page."""
    console = Console(file=io.StringIO(), width=200)
    console.print(check_table({"sparse": {"plan": checks}, "dense": None}))
    return console.file.getvalue(), text(page.page([story(half("sparse", more={"plan": checks}))]))  # type: ignore[attr-defined]


def _checks(most: dict[str, Any]) -> dict[str, Any]:
    flop = Figure(1e9, "FLOP", "counted").json()
    seconds = Figure(3.0, "s", "measured").json()
    same = {
        name: {"predicted": it, "measured": it, "ratio": 1.0} for name, it in (("flop", flop), ("seconds", seconds))
    }
    return same | {"held": _memory(1000, 1000), "held_peak": most}


@pytest.mark.parametrize(
    "most",
    [_memory(4000, 4000), _memory(4000, 1000), _memory(1000, 4000)],
    ids=["scouted", "planned alone", "came alone"],
)
def test_memory_while_scouting_is_told_where_something_scouts(most):
    for said in _said(_checks(most)):
        assert "memory while scouting" in said


def test_memory_while_scouting_is_left_out_where_nothing_scouts():
    for said in _said(_checks(_memory(1000, 1000))):
        assert "memory while scouting" not in said
        assert "1.00 kB" in said
