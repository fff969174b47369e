"""The picture of `sparse-momentum`: accuracy over density, a line a method, published figures beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from tithe.report import drawing
from tithe.report.drawing import DENSE, INK, PALETTE, SMALL, TEXT
from tithe.studies.headline import headline
from tithe.studies.study import Claim
from tithe.studies.trained import Trained
from tithe.studies.verdict import mean

_ORDER = ("sparse-momentum", "set", "rigl", "snip", "dsr", "deepr", "static")
_COLOURS = (*PALETTE, INK, "#8B5A2B")
_APART = 0.02  # by which methods stand beside each other, in factors of density


def draw(
    runs: Sequence[Trained], published: Mapping[str, Mapping[float, float]], claims: Sequence[Claim], path: Path
) -> Path:
    """One panel, of one model."""
    claim = next(
        (claim for claim in claims if claim.claim.startswith(f"{runs[0].model} on")), claims[0] if claims else None
    )
    figure = drawing.figure(11, 5.6)
    seeds = max(len(run.accuracy) for run in runs)
    reading = (
        f"mean of {seeds} seeds with 95 % t intervals; diamonds: published"
        if published
        else (f"mean of {seeds} seeds with 95 % t intervals")
    )
    if claim is not None:
        headline(figure, claim, reading)
    axes = figure.add_axes((0.085, 0.12, 0.66, 0.64))
    drawing.bare(axes)
    sparse = [run for run in runs if run.tactic.density is not None]
    methods = list(dict.fromkeys(run.tactic.method for run in sparse))
    colours = _colours(methods)
    for place, method in enumerate(methods):
        shift = (1 + _APART) ** (place - (len(methods) - 1) / 2)
        _line(axes, [run for run in sparse if run.tactic.method == method], shift, colours[method])
        _marks(axes, published.get(method, {}), {run.density for run in sparse}, shift, colours[method])
    _dense(axes, [run for run in runs if run.tactic.density is None], published)
    _scale(axes, sparse, runs)
    _legend(figure, colours, [run.tactic.method for run in runs if run.tactic.density is None])
    return drawing.save(figure, path)


def _colours(methods: Sequence[str]) -> dict[str, str]:
    """A method has the same colour in every picture."""
    names = [*_ORDER, *(method for method in methods if method not in _ORDER)]
    return {method: _COLOURS[names.index(method) % len(_COLOURS)] for method in methods}


def _line(axes: Axes, runs: Sequence[Trained], shift: float, colour: str) -> None:
    runs = sorted(runs, key=lambda run: run.density)
    figures = [mean(run.accuracy, "%") for run in runs]
    x = [shift * run.density for run in runs]
    axes.plot(x, [f.value for f in figures], color=colour, linewidth=1.8, marker="o", markersize=5, zorder=3)
    for place, figure in zip(x, figures, strict=True):
        axes.plot([place, place], [figure.least, figure.most], color=colour, linewidth=1.4, alpha=0.75, zorder=2)


def _marks(axes: Axes, known: Mapping[float, float], densities: set[float], shift: float, colour: str) -> None:
    """Published figures within the densities that were measured."""
    inside = {d: a for d, a in known.items() if densities and min(densities) <= d <= max(densities)}
    style = {"marker": "D", "markersize": 9, "markerfacecolor": "none", "markeredgecolor": colour, "linestyle": ""}
    axes.plot([shift * d for d in inside], list(inside.values()), zorder=4, **style)  # type: ignore[arg-type]


def _dense(axes: Axes, runs: Sequence[Trained], published: Mapping[str, Mapping[float, float]]) -> None:
    for run in runs:
        figure = mean(run.accuracy, "%")
        axes.axhline(figure.value, color=DENSE, linewidth=1.6, zorder=1)
        axes.axhspan(figure.least, figure.most, color=DENSE, alpha=0.12, linewidth=0, zorder=0)
    if runs and "dense" in published:
        axes.axhline(next(iter(published["dense"].values())), color=DENSE, linewidth=1.2, linestyle=(0, (4, 2.5)))


def _scale(axes: Axes, sparse: Sequence[Trained], runs: Sequence[Trained]) -> None:
    """Means are inside; a long interval may leave the picture, so that one bad seed does not flatten the rest."""
    densities = sorted({run.density for run in sparse})
    figures = [mean(run.accuracy, "%") for run in runs]
    lowest, highest = min(f.value for f in figures), max(f.value for f in figures)
    spread = max(highest - lowest, 0.4)
    least, most = min(f.least for f in figures), max(f.most for f in figures)
    bottom, top = max(least, lowest - spread / 2), min(most, highest + spread / 2)
    axes.set_ylim(bottom - spread / 8, min(100.0, top + spread / 8))
    if densities:
        axes.set_xscale("log")
        axes.set_xlim(densities[0] / 1.25, densities[-1] * 1.25)
        axes.set_xticks(densities)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda density, _: f"{100 * density:g} %"))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.set_xlabel("density: weights that exist", fontsize=TEXT, color=INK)
    axes.set_ylabel("test accuracy, %", fontsize=TEXT, color=INK)


def _legend(figure: Figure, colours: Mapping[str, str], dense: Sequence[str]) -> None:
    handles = [Line2D([], [], color=colour, marker="o", linewidth=1.8, label=name) for name, colour in colours.items()]
    handles += [Line2D([], [], color=DENSE, linewidth=1.6, label=name) for name in dense]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.76, 0.77), frameon=False, fontsize=SMALL)
