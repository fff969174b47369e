"""The published record of ImageNet beside what was said of it, as a table and sentences."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tithe.forecast import published
from tithe.forecast.words import number


def record() -> Table:
    """Publications and the package's own table, a line each."""
    shown = Table(
        box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title_style="bold", title="ImageNet in print and in this table"
    )
    shown.title_justify = "left"
    for head, side in (
        ("source", "left"),
        ("measure", "left"),
        ("exponent", "right"),
        ("halving", "right"),
        ("5 % error", "right"),
        ("USD", "right"),
        ("CO2, New York months", "right"),
    ):
        shown.add_column(head, justify=side)  # type: ignore[arg-type]
    content = published.record()
    for row in (*content["published"], *content["ours"]):
        shown.add_row(
            row["where"],
            row["measure"],
            _exponent(row["exponent"]),
            f"{number(row['halving'])} x",
            f"{row['flop']:.0e} FLOP".replace("e+", "e"),
            f"{row['usd']:.0e}".replace("e+", "e"),
            f"{row['new_york_months_of_co2']:.2g}",
        )
    return shown


def sentences() -> Iterable[str]:
    """What the lines leave out, and where compute came from."""
    split = published.split()
    yield (
        "Dollars and CO2 by the authors' conversions (computerprogress.com). None of these lines has a floor, and only "
        "the interval of its exponent is known: the forecast below has both."
    )
    yield (
        f"AlexNet (2012) to NASNet-A (2017): {split.error:.2g} times less error took {split.burden:,.0f} times the "
        f"compute: {split.hardware:.2g} from faster processors, the rest, {split.burden / split.hardware:.0f}, from "
        f"{split.processors:.0f} times as many of them for {split.time:.2g} times as long."
    )


def _exponent(value: float | dict) -> str:
    if isinstance(value, dict):
        return f"{value['value']:.1f} ({value['low']:.1f} to {value['high']:.1f})"
    return f"{value:g}"
