"""The picture of a forecast: error over compute on logarithmic axes, runs, curve, and what is extrapolated."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from tithe.forecast.forms import Array
from tithe.forecast.result import Forecast
from tithe.forecast.verdict import OUT_OF_REACH
from tithe.forecast.words import percent, size
from tithe.report import drawing
from tithe.report.drawing import DENSE, INK, SMALL, SPARSE, TEXT, TITLE, spread

POWER, WANTED = "#D55E00", "#009E73"  # Okabe and Ito 2008, as the others
_AHEAD = 3.0  # decades drawn beyond the runs, at least this where the target is far
_FURTHEST = 6.0  # decades
_POINTS = 200
_ROUND = (1, 1.5, 2, 3, 5, 7)  # ticks of an error axis, times powers of ten


def draw(forecast: Forecast, path: Path | str) -> Path:
    """Draw into `path` (.png, .svg or .pdf).

    Raises UsageError for another suffix and where the file cannot be written.
    """
    figure = drawing.figure(11, 6.4)
    axes = figure.add_axes((0.085, 0.13, 0.70, 0.66))
    drawing.bare(axes)
    _draw(axes, forecast)
    figure.text(0.02, 0.935, _claim(forecast), fontsize=TITLE, color=INK, weight="bold")
    figure.text(0.02, 0.88, _setting(forecast), fontsize=TEXT, color=DENSE)
    figure.text(0.02, 0.835, f"Verdict: {forecast.verdict}. {_trial(forecast)}", fontsize=TEXT, color=DENSE)
    return drawing.save(figure, Path(path))


def _draw(axes: Axes, forecast: Forecast) -> None:
    first, last, end = forecast.compute[0] / 1.6, forecast.compute[-1], _end(forecast)
    seen, ahead = _span(first, last), _span(last, end)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.axvspan(last, end, color="#F4F4F4", linewidth=0, zorder=0)
    axes.text(last * 1.06, 1.012, "beyond the runs", transform=axes.get_xaxis_transform(), fontsize=SMALL, color=DENSE)
    for part, faint, line in ((seen, 0.20, "-"), (ahead, 0.10, (0, (4, 2.5)))):
        low, _, high = forecast.errors(part, new_run=forecast.kind == "typical")
        _, curve, _ = forecast.errors(part)
        axes.fill_between(part, low, high, color=SPARSE, alpha=faint, linewidth=0, zorder=1)
        axes.plot(part, curve, color=SPARSE, linewidth=2.4 if line == "-" else 1.8, linestyle=line, zorder=3)
    pure = _power_law(forecast, ahead)
    axes.plot(ahead, pure, color=POWER, linewidth=1.2, linestyle=(0, (1, 1.6)), zorder=2)
    axes.plot(
        forecast.compute, forecast.error, linestyle="", marker="o", markersize=5, color=INK, alpha=0.55, mew=0, zorder=4
    )
    axes.set_xlim(first, end)
    _scale_errors(axes, forecast, end)
    _draw_target(axes, forecast, end)
    _name_ends(axes, forecast, end, float(pure[-1]))
    axes.set_xlabel(_amount(forecast), fontsize=TEXT, color=INK)
    axes.set_ylabel("error", fontsize=TEXT, color=INK)
    axes.xaxis.set_major_locator(LogLocator(numticks=12))
    axes.xaxis.set_minor_locator(NullLocator())


def _span(start: float, end: float) -> Array:
    return np.geomspace(start, end, _POINTS)


def _end(forecast: Forecast) -> float:
    """Far enough for the target, or for what its interval begins with, but never too far to be seen."""
    amount = forecast.target.amount
    wanted = amount.value * 4 if math.isfinite(amount.value) else amount.least * 30
    ahead = math.log10(wanted / forecast.compute[-1]) if math.isfinite(wanted) else _AHEAD
    return forecast.compute[-1] * 10 ** min(max(ahead, 1.0), _FURTHEST)


def _power_law(forecast: Forecast, compute: Array) -> Array:
    """Median of the pure power law alone."""
    draws = forecast.mixture.draws("power_law")
    return np.median(draws.form.value(draws.theta, np.log(compute / forecast.compute[-1])), 0)


def _scale_errors(axes: Axes, forecast: Forecast, end: float) -> None:
    low, _, _ = forecast.errors(np.array([end]))
    lowest = min(forecast.error.min(), forecast.target.error, float(low[0]))
    bottom, top = lowest / 1.25, min(1.0, forecast.error.max() * 1.15)
    ticks = [each * 10**power for power in range(-6, 1) for each in _ROUND]
    axes.set_ylim(bottom, top)
    inside = [tick for tick in ticks if bottom <= tick <= top]
    axes.yaxis.set_major_locator(FixedLocator(inside if len(inside) < 12 else inside[::3]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{100 * error:.3g} %"))


def _draw_target(axes: Axes, forecast: Forecast, end: float) -> None:
    """The error asked for, and between which sizes it is reached."""
    target = forecast.target
    axes.axhline(target.error, color=WANTED, linewidth=1.2, zorder=2)
    axes.text(
        forecast.compute[0] / 1.5, target.error * 1.015, f"target {percent(target.error)}",
        fontsize=SMALL, color=WANTED, va="bottom",
    )  # fmt: skip
    low, high = min(target.amount.least, end), min(target.amount.most, end)
    if low < end:
        axes.plot(
            [low, high], [target.error] * 2, color=WANTED, linewidth=5, alpha=0.55, solid_capstyle="butt", zorder=3
        )
    if target.amount.value < end:
        axes.plot(target.amount.value, target.error, color=WANTED, marker="o", markersize=8, zorder=5)


def _name_ends(axes: Axes, forecast: Forecast, end: float, pure: float) -> None:
    """Curve, interval and power law are named at the right, moved apart where they would touch."""
    _, (curve,), _ = forecast.errors(np.array([end]))
    labels = sorted(
        [
            (float(curve), f"forecast {percent(curve)}", SPARSE),
            (pure, f"pure power law {percent(pure)}", POWER),
        ]
    )
    wanted = [axes.transAxes.inverted().transform(axes.transData.transform((1, each[0])))[1] for each in labels]
    for height, (_, text, colour) in zip(spread(wanted, 0.06), labels, strict=True):
        axes.text(1.015, height, text, transform=axes.transAxes, va="center", fontsize=SMALL, color=colour)


def _claim(forecast: Forecast) -> str:
    target, unit = forecast.target, forecast.unit
    goal = f"{percent(target.error)} error"
    if forecast.verdict == OUT_OF_REACH:
        return f"{goal} is out of reach of these runs' recipe"
    if not math.isfinite(target.amount.most):
        return f"{goal} takes {size(target.amount.least, unit)} or more, and may be out of reach"
    between = f"{size(target.amount.least, unit)} to {size(target.amount.most, unit)}"
    return f"{goal} takes {size(target.amount.value, unit)} ({between})"


def _setting(forecast: Forecast) -> str:
    share = (
        f"shaded: {forecast.level:.0%} of new runs" if forecast.kind == "typical" else f"shaded: {forecast.level:.0%}"
    )
    floor = forecast.forms["with_floor"]
    assert floor.floor is not None
    between = f"{percent(floor.floor.least, 2)} to {percent(floor.floor.most, 2)}"
    return (
        f"{len(forecast.compute)} runs, {forecast.kind}; {share}; "
        f"a floor weighs {floor.weight:.0%} and lies from {between}"
    )


def _trial(forecast: Forecast) -> str:
    tried = forecast.held_out
    if tried is None:
        return "Too few runs to try it on themselves."
    return (
        f"Made from the {tried.fitted} smaller runs it errs on the {tried.predicted} larger by "
        f"{100 * tried.mean_absolute_error:.2g} points ({tried.inside} inside the interval)."
    )


def _amount(forecast: Forecast) -> str:
    return f"{forecast.axis}, {forecast.unit}" if forecast.unit != forecast.axis else forecast.unit
