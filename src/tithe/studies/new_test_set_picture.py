"""The picture of `new-test-set`: points lost on each copy, a panel a data set; old against new accuracy published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from tithe.report import drawing
from tithe.report.drawing import DENSE as GREY
from tithe.report.drawing import INK, PALETTE, SMALL, TEXT
from tithe.studies.copies import Copy
from tithe.studies.headline import headline
from tithe.studies.published_drop import Published
from tithe.studies.study import Claim
from tithe.studies.verdict import mean

COLOURS = {"sparse-momentum": PALETTE[0], "small-dense": PALETTE[4], "dense": GREY}
NAMES = {"sparse-momentum": "sparse, 5 %", "small-dense": "small dense, 5 %", "dense": "dense"}
_APART = 0.22


def draw(
    measured: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]],
    copies: Sequence[Copy],
    claim: Claim,
    published: Published | None,
    path: Path,
) -> Path:
    """Panels beside each other."""
    count = len(measured) + (published is not None)
    figure = drawing.figure(11, 5.6)
    headline(figure, claim, "points lost by each copy: means and 95 % intervals over seeds")
    left, width = 0.135, 0.85 / count
    for place, (spec, runs) in enumerate(measured.items()):
        axes = figure.add_axes((left + place * width, 0.12, width - 0.05, 0.62))
        _drops(axes, spec, runs, copies, first=place == 0)
    if published is not None:
        axes = figure.add_axes((left + (count - 1) * width + 0.02, 0.12, width - 0.07, 0.62))
        _published(axes, published)
    return drawing.save(figure, path)


def _drops(axes: Axes, spec: str, runs: Mapping[str, Any], copies: Sequence[Copy], first: bool) -> None:
    drawing.bare(axes)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", color=drawing.FAINT, linewidth=0.8)
    for row, (method, seeds) in enumerate(runs.items()):
        figures = [mean([100 * (s["original"] - s[copy.name]) for s in seeds], "1") for copy in copies]
        heights = [place + _APART * (row - 1) for place in range(len(copies))]
        for height, figure in zip(heights, figures, strict=True):
            axes.plot([figure.least, figure.most], [height, height], color=COLOURS[method], linewidth=1.6, alpha=0.6)
        values = [figure.value for figure in figures]
        axes.plot(values, heights, "o", color=COLOURS[method], markersize=5, mew=0, label=NAMES[method])
    axes.set_ylim(len(copies) - 0.5, -0.5)
    axes.set_yticks(range(len(copies)), [copy.name for copy in copies] if first else [""] * len(copies))
    axes.set_xlabel(f"points lost, {spec}", fontsize=TEXT, color=INK)
    if first:
        axes.legend(frameon=False, fontsize=SMALL, loc="best")


def _published(axes: Axes, found: Published) -> None:
    drawing.bare(axes)
    axes.plot(found.old, found.new, "o", color=PALETTE[0], markersize=2.5, alpha=0.35, mew=0)
    ends = np.array([min(found.new.min(), found.old.min()), found.old.max()])
    axes.plot(ends, ends, color=GREY, linewidth=1.2, linestyle=(0, (4, 2.5)))
    axes.text(ends[1], ends[1], "no loss ", fontsize=SMALL, color=GREY, ha="right", va="bottom")
    axes.set_xlabel("ImageNet top-1, percent", fontsize=TEXT, color=INK)
    axes.set_ylabel("ImageNetV2 top-1, percent", fontsize=TEXT, color=INK)
