"""The picture of `tactics`: what a tactic saves in use beside what it saves in training, and its error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from tithe.methods.registry import DENSE, DENSE_TO_SPARSE, FROM_SCRATCH, PENALTY
from tithe.report import drawing
from tithe.report.drawing import INK, PALETTE, SMALL, TEXT
from tithe.studies.headline import headline
from tithe.studies.study import Claim
from tithe.studies.verdict import mean

COLOURS = {FROM_SCRATCH: PALETTE[0], DENSE_TO_SPARSE: PALETTE[1], PENALTY: PALETTE[3], DENSE: drawing.DENSE}
OTHER = PALETTE[2]  # search


def draw(found: Mapping[str, Any], claims: Sequence[Claim], path: Path) -> Path:
    """Three panels that share their rows: training, use, error; a tactic a row."""
    tactics = sorted(found["tactics"].items(), key=lambda each: each[1]["training"]["flop"]["value"])
    figure = drawing.figure(11, 2.5 + 0.36 * len(tactics))
    if claims:
        headline(figure, claims[0], f"mean of {found['seeds']} seeds, 95 % t intervals; blue: sparse from scratch")
    height = figure.get_size_inches()[1]
    box = 0.62 / height, (height - 0.62 - 1.75) / height
    axes = [figure.add_axes((left, box[0], 0.23, box[1])) for left in (0.2, 0.47, 0.74)]
    for each, part, title in zip(
        axes, ("training", "inference"), ("FLOP of training", "FLOP of one use"), strict=False
    ):
        _costs(each, tactics, part)
        each.set_title(f"{title}, of dense", loc="left", fontsize=TEXT, color=INK, pad=8)
    _errors(axes[2], tactics)
    axes[2].set_title("test error", loc="left", fontsize=TEXT, color=INK, pad=8)
    for each in axes:
        each.set_yticks(range(len(tactics)), [name for name, _ in tactics] if each is axes[0] else [""] * len(tactics))
        each.set_ylim(len(tactics) - 0.4, -0.6)
        each.grid(visible=True, axis="y", color=drawing.FAINT, linewidth=0.8)
    return drawing.save(figure, path)


def _colour(tactic: Mapping[str, Any]) -> str:
    return COLOURS.get(tactic["family"], OTHER)


def _costs(axes: Axes, tactics: Sequence[tuple[str, Mapping[str, Any]]], part: str) -> None:
    drawing.bare(axes)
    dense = dict(tactics)["dense"][part]["flop"]["value"]
    shares = [tactic[part]["flop"]["value"] / dense for _, tactic in tactics]
    axes.axvline(1, color=drawing.DENSE, linewidth=1)
    for row, ((_, tactic), share) in enumerate(zip(tactics, shares, strict=True)):
        axes.plot([share], [row], "o", markersize=7, color=_colour(tactic), clip_on=False)
        axes.annotate(
            f"{share:.2g}", (share, row), xytext=(8, 0), textcoords="offset points", va="center", fontsize=SMALL
        )
    axes.set_xscale("log")
    axes.set_xlim(0.6 * min(*shares, 0.1), 2.5 * max(*shares, 1.0))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _errors(axes: Axes, tactics: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Means are inside; an interval may leave the picture."""
    drawing.bare(axes)
    means = []
    for row, (_, tactic) in enumerate(tactics):
        figure = mean([100 * run["error"] for run in tactic["runs"]], "%")
        means.append(figure.value)
        axes.plot([figure.least, figure.most], [row, row], color=_colour(tactic), linewidth=1.5, alpha=0.7)
        axes.plot([figure.value], [row], "o", markersize=7, color=_colour(tactic))
    room = 0.35 * max(max(means) - min(means), 0.2)
    axes.set_xlim(max(0.0, min(means) - room), max(means) + room)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{error:g} %"))
