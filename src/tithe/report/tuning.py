"""A tuning in a picture: the error of each trial, and the best so far, over what was spent until then."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tithe import human
from tithe.report import drawing
from tithe.report.drawing import DENSE, INK, SMALL, SPARSE, TEXT, TITLE

ROOM = 1.15  # above the worst trial that is shown
WORST = 4.0  # times the best error, or the error of the recipe as it was: what lies above is at the rim


def picture(content: Mapping[str, Any], path: Path) -> Path:
    """Draw it into `path` (.png, .svg or .pdf).

    Raises UsageError for another suffix and where the file cannot be written.
    """
    made = drawing.figure(9, 5)
    axes = made.add_axes((0.09, 0.13, 0.87, 0.62))
    spent = list(accumulate(_spent(trial, content["cost"]) for trial in content["trials"]))
    rim = _rim(content)
    _draw_trials(axes, content, spent, rim)
    _draw_best(axes, content, spent)
    drawing.bare(axes)
    axes.set_xlim(0, spent[-1] * 1.02)
    axes.set_ylim(0, rim * 1.03)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{error:g} %"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, content["cost"])))
    axes.set_xlabel(_label(content["cost"]), fontsize=SMALL, color=INK)
    made.text(0.03, 0.92, _claim(content), fontsize=TITLE, color=INK, weight="bold")
    n = content["data"]["n_validation"]
    below = f"{content['method']}, {content['model']}: errors on {n} held-out examples of {content['data']['name']}"
    made.text(0.03, 0.85, below, fontsize=TEXT, color=DENSE, parse_math=False)
    return drawing.save(made, path)


def _draw_trials(axes: Axes, content: Mapping[str, Any], spent: list[float], rim: float) -> None:
    """Discs where a trial went to its end, small rings where it was stopped, a cross at the rim where it diverged."""
    kinds = {
        "finished": ("o", 6.0, SPARSE, SPARSE, "finished"),
        "stopped": ("o", 4.5, "white", DENSE, "stopped early"),
        "diverged": ("x", 6.0, DENSE, DENSE, "diverged"),
    }
    for ended, (marker, size, face, edge, label) in kinds.items():
        points = [(x, t) for x, t in zip(spent, content["trials"], strict=True) if t["ended"] == ended]
        inside = [(x, 100 * t["error"]) for x, t in points if t["error"] is not None and 100 * t["error"] <= rim]
        above = [(x, rim) for x, t in points if t["error"] is None or 100 * t["error"] > rim]
        style: dict[str, Any] = {"markersize": size, "markerfacecolor": face, "markeredgecolor": edge, "clip_on": False}
        if inside:
            axes.plot(*zip(*inside, strict=True), marker, label=label, zorder=3, **style)
        if above:
            label = label if ended == "diverged" else f"{label}, higher than shown"
            axes.plot(*zip(*above, strict=True), "x" if ended == "diverged" else "^", label=label, zorder=3, **style)
    box: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "ncols": 4, "borderaxespad": 0.0}
    axes.legend(frameon=False, fontsize=SMALL, labelcolor=INK, handletextpad=0.1, columnspacing=1.0, **box)


def _draw_best(axes: Axes, content: Mapping[str, Any], spent: list[float]) -> None:
    """The lowest error of a finished trial so far, as steps."""
    finished = [
        (x, 100 * t["error"]) for x, t in zip(spent, content["trials"], strict=True) if t["ended"] == "finished"
    ]
    lowest = list(accumulate((error for _, error in finished), min))
    x = [*(x for x, _ in finished), spent[-1]]
    axes.step(x, [*lowest, lowest[-1]], where="post", color=SPARSE, linewidth=2.0, zorder=2)


def _rim(content: Mapping[str, Any]) -> float:
    """The highest error, in percent, that is drawn where it is."""
    errors = [100 * t["error"] for t in content["trials"] if t["error"] is not None]
    finished = [100 * t["error"] for t in content["trials"] if t["ended"] == "finished"]
    return max(ROOM * min(max(errors), WORST * max(min(finished), 0.5)), ROOM * finished[0])


def _spent(trial: Mapping[str, Any], cost: str) -> float:
    return float(trial["flop"] if cost == "flop" or not trial["bill"] else trial["bill"]["seconds"]["value"])


def _tick(value: float, cost: str) -> str:
    return (human.si(value, "FLOP") if cost == "flop" else human.duration(value)) if value else "0"


def _label(cost: str) -> str:
    return "training FLOP of all trials so far" if cost == "flop" else "time of all trials so far"


def _claim(content: Mapping[str, Any]) -> str:
    first, best = content["trials"][0], content["best"]
    decimals = human.accuracy_decimals(content["data"]["n_validation"])
    to = human.percent(best["error"], decimals)
    if first["error"] is None or first["number"] == best["number"]:
        return f"{len(content['trials'])} trials: {to} validation error"
    return f"{len(content['trials'])} trials: from {human.percent(first['error'], decimals)} to {to} validation error"
