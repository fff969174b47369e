"""The picture of `theory`: error over data and over compute, with the slopes that the claim has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from tithe.report import drawing
from tithe.report.drawing import DENSE, INK, PALETTE, SMALL, TEXT
from tithe.studies.headline import headline
from tithe.studies.study import Claim

NAMES = {"fixed": "32 parameters", "growing": "2n parameters,\nlasso", "filled": "n/2 parameters"}
COLOURS = dict(zip(NAMES, PALETTE, strict=False))
DASHED = (0, (4, 2.5))


def draw(curves: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]], claims: Sequence[Claim], path: Path) -> Path:
    """Two panels, one figure."""
    figure = drawing.figure(11, 5.4)
    headline(figure, claims[1], "means over seeds; right: FLOP spent, all passes counted; dashed: k² data, k⁴ compute")
    left, right = figure.add_axes((0.08, 0.125, 0.36, 0.65)), figure.add_axes((0.5, 0.125, 0.36, 0.65))
    _panel(left, curves, "n", "examples", 2)
    _panel(right, curves, "flop", "training compute, FLOP", 4)
    left.set_ylabel("error beyond the noise", fontsize=TEXT, color=INK)
    _name(right, curves)
    return drawing.save(figure, path)


def _panel(axes: Axes, curves: Mapping[str, Sequence[Any]], of: str, label: str, claimed: int) -> None:
    drawing.bare(axes)
    for model, seeds in curves.items():
        x, y = _means(seeds, of)
        axes.plot(x, y, color=COLOURS[model], marker="o", markersize=4.5, linewidth=1.8)
    x, y = _means(curves["fixed" if of == "n" else "growing"], of)
    axes.plot(x, y[0] * 1.25 * (x / x[0]) ** (-1 / claimed), color=DENSE, linewidth=1.2, linestyle=DASHED)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=6))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(label, fontsize=TEXT, color=INK)


def _means(seeds: Sequence[Sequence[Mapping[str, Any]]], of: str) -> tuple[np.ndarray, np.ndarray]:
    over = np.mean([[point[of] for point in curve] for curve in seeds], 0)
    return over, np.mean([[point["error"] for point in curve] for curve in seeds], 0)


def _name(axes: Axes, curves: Mapping[str, Sequence[Any]]) -> None:
    """Right of the panel, at the heights of the curves' ends."""
    ends = sorted((float(_means(seeds, "flop")[1][-1]), model) for model, seeds in curves.items())
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = [to_axes.transform((axes.get_xlim()[0], end))[1] for end, _ in ends]
    for height, (_, model) in zip(drawing.spread(heights, 0.1), ends, strict=True):
        axes.text(
            1.03, height, NAMES[model], transform=axes.transAxes, va="center", fontsize=SMALL, color=COLOURS[model]
        )
