"""The tables of `tithe bench`: one for each row and number of threads."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from tithe import human
from tithe.bench.results import best

_MISSING = "-"


def table(row: Mapping[str, Any]) -> Table:
    """The best variant of each system, density by density, with its speed-up over the best dense ones.

    It fits in 80 columns.
    """
    shown = Table(
        title=title(row), caption=escape(_caption(row)), box=SIMPLE_HEAD, title_style="bold", caption_style=""
    )
    shown.title_justify = shown.caption_justify = "left"
    shown.add_column("", no_wrap=True)
    for heading in ("median ms", "middle half", "x fp32", "x bf16"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for density, group in groupby(best(row), lambda result: result["density"]):
        shown.add_section()
        shown.add_row(_section(density))
        for result in group:
            shown.add_row(f"  {_name(result).removeprefix('dense ')}", *_figures(result))
    return shown


def _section(density: float | None) -> str:
    """The heading of a density, with what could be won at most if time were in proportion to the weights."""
    if density is None:
        return "dense"
    return f"density {human.density(density)}, limit {human.three_digits(1 / density)}x"


def title(row: Mapping[str, Any]) -> str:
    """What was measured and with how many threads."""
    what = "training step" if row["kind"] == "step" else "forward and both gradients"
    return f"{row['title']}, {row['threads']} thread{'s' if row['threads'] > 1 else ''}: {what} (measured)"


def _name(result: Mapping[str, Any]) -> str:
    variant = f", {result['variant']}" if result["variant"] else ""
    return f"{result['system']}{variant}"


def _figures(result: Mapping[str, Any]) -> list[str]:
    low, high = (human.three_digits(result[name]) for name in ("low_quartile_ms", "high_quartile_ms"))
    return [
        f"{human.three_digits(result['median_ms'])}",
        f"{low} to {high}" if result["rounds"] > 1 else "measured once",
        *(_times(result[name]) for name in ("speedup_float32", "speedup_bfloat16")),
    ]


def _times(ratio: float | None) -> str:
    return _MISSING if ratio is None else f"{human.three_digits(ratio)}x"


def _caption(row: Mapping[str, Any]) -> str:
    """How many rounds, and who is not in the table."""
    rounds = [result["rounds"] for result in row["results"]]
    few = sorted({f"{_name(result)} {result['rounds']}" for result in row["results"] if result["rounds"] < max(rounds)})
    lines = [
        f"{max(rounds)} interleaved rounds" + (f"; {', '.join(few)}" if few else "") + ".",
        "x: times the speed of the best dense one in float32 or bfloat16. limit: 1/density.",
    ]
    reasons: dict[tuple[str, str], list[float]] = {}
    for one in row["left_out"]:
        where = reasons.setdefault((_name(one), one["reason"]), [])
        where += [] if one["density"] is None else [one["density"]]
    for (name, reason), densities in reasons.items():
        at = f" at {', '.join(map(human.density, densities))}" if densities else ""
        lines.append(f"{name}{at}: {reason}.")
    return "\n".join(lines)
