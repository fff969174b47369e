"""The bill as a bar chart: every quantity of every half, the longest of each quantity as long as the others'."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from tithe.cost.bill import LABELS
from tithe.cost.figure import Figure
from tithe.report import drawing
from tithe.report.drawing import DENSE, FAINT, INK, SMALL, TEXT

SHOWN = ("flop", "seconds", "memory", "device_memory", "kwh", "kg_co2", "usd")
WIDTH = 4.7  # inches: about a phone's width at the size of its own text
_BAR, _HEAD, _GAP, _TITLE = 0.25, 0.27, 0.17, 0.75  # inches
_EDGE = 0.04  # of the width, around a picture that stands alone
_NAMES, _LONGEST = 0.22, 0.5  # of the width: where bars begin, and the longest


class Bill(NamedTuple):
    """One half's bill, and how it is drawn."""

    label: str
    colour: str
    figures: Mapping[str, Figure]
    hollow: bool = False  # outlined: the dense half, where colour stands for the run


def compared(bills: Sequence[Bill]) -> list[str]:
    """The quantities that two halves or more know, so that there is something to compare."""
    return [name for name in SHOWN if sum(name in bill.figures for bill in bills) > 1]


def bars(bills: Sequence[Bill], names: Sequence[str], title: str = "", subtitle: str = "") -> Picture:
    """The chart of these quantities, one below the other."""
    group = _HEAD + _BAR * len(bills) + _GAP
    height = group * len(names) + (_TITLE if title else 0)
    picture = drawing.figure(WIDTH, height)
    axes = picture.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    edge = _EDGE if title else 0
    axes.set_xlim(-edge, 1 + edge)
    axes.set_ylim(height, 0)  # inches from above
    if title:
        axes.text(
            0,
            0.24,
            textwrap.shorten(title, 44, placeholder=" ..."),
            fontsize=TEXT + 1,
            color=INK,
            weight="bold",
            va="center",
            parse_math=False,
        )
        axes.text(0, 0.5, subtitle, fontsize=SMALL, color=DENSE, va="center", parse_math=False)
    for place, name in enumerate(names):
        _draw_group(axes, (_TITLE if title else 0) + place * group, name, bills)
    return picture


def save(bills: Sequence[Bill], path: Path, title: str, subtitle: str) -> Path | None:
    """Draw the chart into `path` (.png, .svg or .pdf); None, and no file, where there is nothing to compare.

    Raises UsageError for another suffix and where the file cannot be written.
    """
    names = compared(bills)
    return drawing.save(bars(bills, names, title, subtitle), path) if names else None


def _draw_group(axes: Axes, top: float, name: str, bills: Sequence[Bill]) -> None:
    known = [bill.figures[name] for bill in bills if name in bill.figures]
    most = max(figure.value for figure in known) or 1
    middle = top + _HEAD / 2
    axes.text(0, middle, LABELS[name].strip(), fontsize=SMALL, color=INK, weight="bold", va="center")
    how = " and ".join(sorted({figure.how for figure in known}))
    axes.text(1, middle, how, fontsize=SMALL - 1, color=DENSE, va="center", ha="right")
    for place, bill in enumerate(bills):
        _draw_bar(axes, top + _HEAD + _BAR * (place + 0.5), bill, bill.figures.get(name), most)


def _draw_bar(axes: Axes, y: float, bill: Bill, figure: Figure | None, most: float) -> None:
    axes.text(0, y, bill.label, fontsize=SMALL, color=INK, va="center")
    length = 0 if figure is None else _LONGEST * figure.value / most
    axes.barh(y, _LONGEST, 0.62 * _BAR, left=_NAMES, color=FAINT)
    face, line = ("none", 1.4) if bill.hollow else (bill.colour, 0.0)
    axes.barh(y, length, 0.62 * _BAR, left=_NAMES, color=face, edgecolor=bill.colour, linewidth=line)
    said = "-" if figure is None else figure.number()
    axes.text(_NAMES + _LONGEST + 0.02, y, said, fontsize=SMALL, color=INK, va="center")
