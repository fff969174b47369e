"""The picture of `vanishing`: the gradient in each hidden layer, without skip connections and with them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from tithe.report import drawing
from tithe.report.drawing import DENSE, INK, PALETTE, SMALL, TEXT
from tithe.studies.headline import headline
from tithe.studies.study import Claim

COLOURS = {
    "dense": DENSE,
    "dense, torch's start": PALETTE[3],
    "sparse, per neuron": PALETTE[0],
    "sparse, as dense": PALETTE[1],
}
MOST_DECADES = 16  # that the panels show
TINY = 1e-300  # instead of a gradient of exactly zero


WAYS = {"no skips": "without skip connections", "skips": "with skip connections"}
Runs = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]  # (way, start) -> seeds


def draw(runs: Runs, claims: Sequence[Claim], path: Path) -> Path:
    """Two panels over the layers, on one scale, and right of them the errors."""
    figure = drawing.figure(11, 5)
    headline(figure, claims[0], "gradients before training: mean over seeds, and all seeds")
    for place, way in enumerate(WAYS):
        axes = figure.add_axes((0.085 + 0.315 * place, 0.125, 0.275, 0.6))
        _panel(axes, {start: found for (of, start), found in runs.items() if of == way})
        axes.set_title(WAYS[way], loc="left", fontsize=TEXT, color=INK, pad=8)
        if place:
            axes.set_yticklabels([])
        else:
            axes.set_ylabel("gradient / that in the last layer", fontsize=TEXT, color=INK)
    _errors(figure, runs)
    return drawing.save(figure, path)


def _panel(axes: Axes, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """From the loss, at the left, to the input: the way that a gradient goes."""
    drawing.bare(axes)
    layers = list(range(1, 1 + min(len(runs[0]["gradients"]) for runs in found.values())))
    for start, runs in found.items():
        curves = [[max(size, TINY) / max(run["gradients"][-1], TINY) for size in run["gradients"]] for run in runs]
        for curve in curves:
            axes.plot(layers, curve, color=COLOURS[start], linewidth=0.8, alpha=0.35)
        means = [math.exp(sum(map(math.log, layer)) / len(layer)) for layer in zip(*curves, strict=True)]
        axes.plot(layers, means, color=COLOURS[start], linewidth=2.2)
    axes.set_yscale("log")
    axes.set_ylim(10.0**-MOST_DECADES, 100)
    axes.set_xlim(len(layers), 1)
    axes.yaxis.set_major_locator(LogLocator(numticks=8))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: "1" if value == 1 else f"{value:.0e}"))
    axes.set_xticks([len(layers), *range(len(layers) // 10 * 10 - 10, 1, -10), 1])
    axes.set_xlabel("hidden layer, from loss to input", fontsize=TEXT, color=INK)


def _errors(figure: Figure, runs: Runs) -> None:
    """What each colour is, and what the networks had learnt after the same training."""
    left, without, with_skips, top = 0.69, 0.9, 0.985, 0.72
    figure.text(with_skips, top, "test error after training", fontsize=SMALL, color=INK, ha="right")
    for x, words in ((without, "without"), (with_skips, "with skips")):
        figure.text(x, top - 0.06, words, fontsize=SMALL, color=DENSE, ha="right")
    for place, start in enumerate(dict.fromkeys(start for _, start in runs)):
        y = top - 0.13 - 0.065 * place
        figure.text(left, y, start, fontsize=SMALL, color=COLOURS[start])
        for x, way in zip((without, with_skips), WAYS, strict=True):
            found = runs[way, start]
            error = 100 * sum(run["error"] for run in found) / len(found)
            figure.text(x, y, f"{error:.1f} %", fontsize=SMALL, color=COLOURS[start], ha="right")
