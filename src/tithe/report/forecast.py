"""The picture of a forecast: error over compute on logarithmic axes, runs, curve, interval, what is extrapolated."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from tithe.forecast.forms import Array
from tithe.forecast.result import Forecast
from tithe.forecast.verdict import FLOOR_OPEN, OUT_OF_REACH
from tithe.forecast.words import percent, size, span
from tithe.report import drawing
from tithe.report.drawing import DENSE, INK, SMALL, SPARSE, TEXT, TITLE, spread
from tithe.report.log_axes import error_axis, size_axis

POWER, WANTED = "#D55E00", "#009E73"  # Okabe and Ito 2008, as the others
AHEAD_COLOUR = "#F4F4F4"
DASHED = (0, (4, 2.5))
_AHEAD = 3.0  # decades drawn beyond the runs where nothing says how far
_FURTHEST = 6.0
_POINTS = 200
_SAME = 0.02  # relative difference of two errors that get one label


def draw(forecast: Forecast, path: Path | str) -> Path:
    """Draw into `path` (.png, .svg or .pdf).

    Raises UsageError for another suffix and where the file cannot be written.
    """
    figure = drawing.figure(11, 6.4)
    axes = figure.add_axes((0.085, 0.12, 0.715, 0.665))
    _draw(axes, forecast)
    figure.text(0.02, 0.932, _claim(forecast), fontsize=TITLE, color=INK, weight="bold")
    figure.text(0.02, 0.882, _setting(forecast), fontsize=TEXT, color=DENSE)
    figure.text(0.02, 0.838, _trial(forecast), fontsize=TEXT, color=DENSE)
    return drawing.save(figure, Path(path))


def _draw(axes: Axes, forecast: Forecast) -> None:
    first, last, end = forecast.compute[0] / 1.6, forecast.compute[-1], _end(forecast)
    drawing.bare(axes)
    size_axis(axes, first, end, _amount(forecast))
    low, _, _ = forecast.errors(np.array([end]))
    error_axis(axes, min(forecast.error.min(), forecast.target.error, float(low[0])), forecast.error.max())
    axes.axvspan(last, end, color=AHEAD_COLOUR, linewidth=0, zorder=0)
    axes.text(last * 1.06, 1.012, "beyond the runs", transform=axes.get_xaxis_transform(), fontsize=SMALL, color=DENSE)
    begins = first if forecast.broke is None else forecast.broke.at  # the curve is not that of the runs before
    for part, beyond in ((_points(begins, last), False), (_points(last, end), True)):
        _draw_curve(axes, forecast, part, beyond)
    axes.plot(
        forecast.compute,
        forecast.error,
        linestyle="",
        marker="o",
        markersize=5.5,
        color=INK,
        alpha=0.6,
        mew=0,
        zorder=4,
    )
    _draw_target(axes, forecast, end)
    _name_curves(axes, forecast, end)


def _points(start: float, end: float) -> Array:
    return np.geomspace(start, end, _POINTS)


def _end(forecast: Forecast) -> float:
    """Far enough for the target, or for what its interval begins with, but never too far to be seen."""
    amount = forecast.target.amount
    wanted = amount.value * 4 if math.isfinite(amount.value) else amount.least * 30
    ahead = math.log10(wanted / forecast.compute[-1]) if math.isfinite(wanted) else _AHEAD
    return forecast.compute[-1] * 10 ** min(max(ahead, 1.0), _FURTHEST)


def _draw_curve(axes: Axes, forecast: Forecast, part: Array, beyond: bool) -> None:
    """Curve, interval and pure power law; beyond the runs paler and dashed."""
    low, _, high = forecast.errors(part, new_run=forecast.kind == "typical")
    _, curve, _ = forecast.errors(part)
    axes.fill_between(part, low, high, color=SPARSE, alpha=0.11 if beyond else 0.22, linewidth=0, zorder=1)
    axes.plot(
        part, curve, color=SPARSE, linewidth=2.0 if beyond else 2.6, linestyle=DASHED if beyond else "-", zorder=3
    )
    axes.plot(part, _power_law(forecast, part), color=POWER, linewidth=1.4, linestyle=(0, (1, 1.6)), zorder=2)


def _power_law(forecast: Forecast, compute: Array) -> Array:
    """Median of the pure power law alone."""
    draws = forecast.mixture.draws("power_law")
    return np.median(draws.form.value(draws.theta, np.log(compute / forecast.compute[-1])), 0)


def _draw_target(axes: Axes, forecast: Forecast, end: float) -> None:
    """The error asked for, and between which sizes it is reached; an arrow where the interval goes on."""
    target = forecast.target
    axes.axhline(target.error, color=WANTED, linewidth=1.3, zorder=2)
    axes.annotate(
        f"target {percent(target.error)}", (0, target.error), xycoords=axes.get_yaxis_transform(), xytext=(5, 4),
        textcoords="offset points", fontsize=SMALL, color=WANTED,
    )  # fmt: skip
    low, high = target.amount.least, min(target.amount.most, end)
    if low >= end:
        return
    bar = {"color": WANTED, "linewidth": 6, "alpha": 0.5, "solid_capstyle": "butt", "zorder": 3}
    axes.plot([low, high], [target.error] * 2, **bar)
    if target.amount.most > end:
        axes.plot(end, target.error, color=WANTED, marker=">", markersize=11, mew=0, clip_on=False, zorder=5)
    if target.amount.value < end:
        axes.plot(target.amount.value, target.error, color=WANTED, marker="o", markersize=9, zorder=5)


def _name_curves(axes: Axes, forecast: Forecast, end: float) -> None:
    """Right of their ends, moved apart where they would touch; a power law that leaves the picture where it does."""
    curve = float(forecast.errors(np.array([end]))[1][0])
    pure = float(_power_law(forecast, np.array([end]))[0])
    if abs(pure - curve) < _SAME * curve:
        labels = [(curve, f"forecast and pure\npower law {percent(curve)}", SPARSE)]
    else:
        labels = [(curve, f"forecast {percent(curve)}", SPARSE), (pure, f"pure power law\n{percent(pure)}", POWER)]
    bottom = axes.get_ylim()[0]
    if pure < bottom:
        labels.pop()
        _name_where_it_leaves(axes, forecast, bottom)
    labels.sort()
    wanted = [axes.transAxes.inverted().transform(axes.transData.transform((1, each[0])))[1] for each in labels]
    for height, (_, text, colour) in zip(spread(wanted, 0.09), labels, strict=True):
        axes.text(1.02, height, text, transform=axes.transAxes, va="center", fontsize=SMALL, color=colour)


def _name_where_it_leaves(axes: Axes, forecast: Forecast, bottom: float) -> None:
    draws = forecast.mixture.draws("power_law")
    leaves = forecast.compute[-1] * float(np.exp(np.median(draws.form.inverse(draws.theta, bottom))))
    axes.annotate(
        "pure power law", (leaves, bottom), xytext=(8, 12), textcoords="offset points", fontsize=SMALL, color=POWER
    )


def _claim(forecast: Forecast) -> str:
    target, unit = forecast.target, forecast.unit
    goal = f"{percent(target.error)} error"
    if forecast.verdict == OUT_OF_REACH:
        return f"{goal} is out of reach of these runs' recipe"
    if not math.isfinite(target.amount.most):
        return powers(f"{goal} takes {size(target.amount.least, unit)} or more, and may be out of reach")
    return powers(
        f"{goal} takes {size(target.amount.value, unit)} ({span(target.amount.least, target.amount.most, unit)})"
    )


def _setting(forecast: Forecast) -> str:
    shaded = "shaded: where 90 % of new runs lie" if forecast.kind == "typical" else "shaded: its 90 % interval"
    shaded = shaded.replace("90 %", percent(forecast.level))
    floor = forecast.forms["with_floor"].floor
    assert floor is not None
    where = f"{percent(floor.least, 2)} to {percent(floor.most, 2)}"
    floored = f" (floor {where})" if forecast.verdict in (FLOOR_OPEN, OUT_OF_REACH) else ""
    return f"{len(forecast.compute)} runs, the {forecast.kind} curve; {shaded}. Verdict: {forecast.verdict}{floored}"


def _trial(forecast: Forecast) -> str:
    tried = forecast.held_out
    if tried is None:
        return "Too few runs to try the forecast on themselves"
    return (
        f"Tried on these runs: from the {tried.fitted} smaller, the {tried.predicted} larger are forecast to "
        f"{100 * tried.mean_absolute_error:.2g} points; {tried.inside} of {tried.predicted} inside the interval"
    )


def _amount(forecast: Forecast) -> str:
    return f"{forecast.axis}, {forecast.unit}" if forecast.unit != forecast.axis else forecast.unit


def powers(text: str) -> str:
    """9.41e25 -> 9.41 × 10²⁵, as print has it."""
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return re.sub(r"(\d)e(-?\d+)", lambda found: f"{found[1]} × 10{found[2].translate(raised)}", text)
