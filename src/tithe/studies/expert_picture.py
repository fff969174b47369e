"""The picture of `expert-or-flexible`: error over examples and over compute, for 10 and for 100 relevant features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from tithe.report import drawing
from tithe.report.drawing import DENSE, INK, PALETTE, SMALL, TEXT
from tithe.studies import contenders as who
from tithe.studies.headline import headline
from tithe.studies.study import Claim

COLOURS = {
    who.ORACLE: DENSE,
    who.EXPERT: PALETTE[1],
    who.FLEXIBLE: PALETTE[4],
    who.LASSO: PALETTE[2],
    who.DENSE: PALETTE[3],
    who.SPARSE: PALETTE[0],
}
_LEAST, _MOST = 5e-4, 4.0


def draw(simulated: Mapping[int, Mapping[int, Sequence[Mapping[str, Any]]]], claim: Claim, path: Path) -> Path:
    """Two rows, two columns."""
    figure = drawing.figure(11, 8.6)
    headline(figure, claim, "means over seeds; 1 explains nothing, 0 all that can be explained")
    for row, (s, cells) in enumerate(simulated.items()):
        bottom = 0.5 - 0.425 * row
        for column, of in enumerate(("examples", "flop")):
            axes = figure.add_axes((0.075 + 0.415 * column, bottom, 0.36, 0.345))
            _panel(axes, cells, of, last=row == 1)
            if not column:
                axes.set_ylabel(f"error, {s} relevant features", fontsize=TEXT, color=INK)
            else:
                _name(axes, cells)
    return drawing.save(figure, path)


def _panel(axes: Axes, cells: Mapping[int, Sequence[Mapping[str, Any]]], of: str, last: bool) -> None:
    drawing.bare(axes)
    for name, colour in COLOURS.items():
        x, y = _curve(cells, name, of)
        width = 2.4 if name in (who.EXPERT, who.SPARSE) else 1.5
        axes.plot(x, y, color=colour, marker="o", markersize=3.5, linewidth=width)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(_LEAST, _MOST)
    axes.xaxis.set_major_locator(LogLocator(numticks=9))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    if last:
        axes.set_xlabel({"examples": "examples", "flop": "training compute, FLOP"}[of], fontsize=TEXT, color=INK)


def _curve(cells: Mapping[int, Any], name: str, of: str) -> tuple[np.ndarray, np.ndarray]:
    flop = [np.mean([seed[name]["flop"] for seed in cell]) for cell in cells.values()]
    errors = [np.mean([seed[name]["error"] for seed in cell]) for cell in cells.values()]
    return np.array(list(cells) if of == "examples" else flop), np.array(errors)


def _name(axes: Axes, cells: Mapping[int, Any]) -> None:
    """Right of the panel, at the heights of the curves' ends."""
    named = sorted((float(np.clip(_curve(cells, name, "flop")[1][-1], _LEAST, _MOST)), name) for name in COLOURS)
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = [to_axes.transform((axes.get_xlim()[0], end))[1] for end, _ in named]
    for height, (_, name) in zip(drawing.spread(heights, 0.075), named, strict=True):
        axes.text(1.03, height, name, transform=axes.transAxes, va="center", fontsize=SMALL, color=COLOURS[name])
