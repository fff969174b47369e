"""The tables of `tithe bench`: one for each row and number of threads."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tithe.bench.results import best
from tithe.report import human

_MISSING = "-"


def table(row: Mapping[str, Any]) -> Table:
    """The best variant of each system, density by density, with its speed-up over the best dense ones."""
    shown = Table(title=title(row), caption=_caption(row), box=SIMPLE_HEAD, title_style="bold", caption_style="")
    shown.title_justify = shown.caption_justify = "left"
    shown.add_column("density", justify="right")
    shown.add_column("system")
    for heading in ("median", "middle half", "x dense float32", "x dense bfloat16", "limit 1/density"):
        shown.add_column(heading, justify="right")
    for density, group in groupby(best(row), lambda result: result["density"]):
        shown.add_section()
        for place, result in enumerate(group):
            first = "dense" if density is None else human.density(density)
            shown.add_row(first if place == 0 else "", _name(result), *_figures(result))
    return shown


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
        f"{human.three_digits(result['median_ms'])} ms",
        f"{low} to {high} ms" if result["rounds"] > 1 else "measured once",
        *(_times(result[name]) for name in ("speedup_float32", "speedup_bfloat16", "limit")),
    ]


def _times(ratio: float | None) -> str:
    return _MISSING if ratio is None else f"{human.three_digits(ratio)}x"


def _caption(row: Mapping[str, Any]) -> str:
    """How many rounds, and who is not in the table."""
    rounds = [result["rounds"] for result in row["results"]]
    few = sorted({f"{_name(result)} {result['rounds']}" for result in row["results"] if result["rounds"] < max(rounds)})
    lines = [f"{max(rounds)} interleaved rounds" + (f"; {', '.join(few)}" if few else "") + "."]
    reasons: dict[tuple[str, str], list[float]] = {}
    for one in row["left_out"]:
        where = reasons.setdefault((_name(one), one["reason"]), [])
        where += [] if one["density"] is None else [one["density"]]
    for (name, reason), densities in reasons.items():
        at = f" at {', '.join(map(human.density, densities))}" if densities else ""
        lines.append(f"{name}{at}: {reason}.")
    return "\n".join(lines)
