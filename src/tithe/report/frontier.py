"""A comparison in two pictures: error over total cost with its Pareto front, and total cost over inferences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from tithe import human
from tithe.report import drawing
from tithe.report.drawing import DENSE, INK, SMALL

WIDTH, HEIGHT = 4.7, 3.6  # inches: about a phone's width at the size of its own text
_BOX = (0.19, 0.15, 0.745, 0.82)
_WIDE = 3.0  # errors that span this factor are drawn on a logarithmic scale
_SIZE = 13.0  # points: room for a number
_AROUND = 1e3  # the lines are drawn for this factor of inferences to both sides


class Drawn(NamedTuple):
    """A tactic, and how it is drawn."""

    number: int
    colour: str
    tactic: Mapping[str, Any]


def frontier(drawn: Sequence[Drawn], cost: str, label: str) -> Picture:
    """Test error over total cost: means, intervals where there are several seeds, and a line along the front."""
    picture, axes = _empty()
    front = sorted(_point(each.tactic, cost) for each in drawn if each.tactic["pareto"])
    axes.plot(*zip(*front, strict=True), color=DENSE, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1)
    for each in drawn:
        x, y = _point(each.tactic, cost)
        _bars(axes, each.tactic, cost, each.colour)
        axes.plot([x], [y], "o", markersize=5, color=each.colour, zorder=3, clip_on=False)
    costs, errors = zip(*(_point(each.tactic, cost) for each in drawn), strict=True)
    axes.set_xscale("log")
    room = max(1.3, (max(costs) / min(costs)) ** 0.08)
    axes.set_xlim(min(costs) / room, max(costs) * room)
    _cost_ticks(axes.xaxis, drawn[0].tactic["total"][cost]["unit"], min(costs) / room, max(costs) * room)
    axes.set_xlabel(label, fontsize=SMALL, color=INK)
    _error_scale(axes, [bound for each in drawn for bound in _bounds(each.tactic["error"])], errors)
    _pins(axes, [(*_point(each.tactic, cost), each) for each in drawn])
    return picture


def lines(drawn: Sequence[Drawn], cost: str, inferences: float, label: str) -> Picture:
    """Total cost over the number of inferences, a line each; the number that was asked for is marked."""
    picture, axes = _empty()
    middle = max(inferences, 1.0)
    low, high = max(1.0, middle / _AROUND), middle * _AROUND
    x = [low * (high / low) ** (place / 100) for place in range(101)]
    for each in drawn:
        training, use = (float(each.tactic[part][cost]["value"]) for part in ("training", "inference"))
        y = [training + n * use for n in x]
        axes.plot(x, y, color=each.colour, linewidth=2.0)
        place = 4 + 11 * ((each.number - 1) % 8)
        _pin(axes, x[place], y[place], each)
    axes.axvline(middle, color=DENSE, linewidth=1.0, linestyle=(0, (1, 2)))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(LogLocator(numticks=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: human.tick(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    _cost_ticks(axes.yaxis, drawn[0].tactic["total"][cost]["unit"], *axes.get_ylim())
    axes.set_xlabel(f"inferences; dotted: {human.tick(middle)}", fontsize=SMALL, color=INK)
    axes.text(0.02, 0.98, label, fontsize=SMALL, color=INK, va="top", transform=axes.transAxes)
    return picture


def _empty() -> tuple[Picture, Axes]:
    picture = drawing.figure(WIDTH, HEIGHT)
    axes = picture.add_axes(_BOX)
    drawing.bare(axes)
    return picture, axes


def _point(tactic: Mapping[str, Any], cost: str) -> tuple[float, float]:
    return float(tactic["total"][cost]["value"]), 100 * tactic["error"]["value"]


def _bars(axes: Axes, tactic: Mapping[str, Any], cost: str, colour: str) -> None:
    """The intervals of error and cost."""
    (x, y), error, total = _point(tactic, cost), tactic["error"], tactic["total"][cost]
    style: dict[str, Any] = {"color": colour, "linewidth": 1.3, "alpha": 0.7, "zorder": 2}
    if error["high"] is not None:
        axes.plot([x, x], [100 * max(error["low"], 1e-9), 100 * error["high"]], **style)
    if total["high"] is not None:
        axes.plot([max(total["low"], x / 1e3), total["high"]], [y, y], **style)


def _bounds(error: Mapping[str, Any]) -> list[float]:
    """The mean and its interval, in percent."""
    return [100 * error[name] for name in ("value", "low", "high") if error[name] is not None]


def _pin(axes: Axes, x: float, y: float, drawn: Drawn) -> None:
    """A disc with the tactic's number."""
    axes.plot([x], [y], "o", markersize=_SIZE, color=drawn.colour, zorder=3, clip_on=False)
    text: dict[str, Any] = {"color": "white", "weight": "bold", "ha": "center", "va": "center_baseline"}
    axes.text(x, y, str(drawn.number), fontsize=8.5, zorder=4, **text)


def _pins(axes: Axes, points: Sequence[tuple[float, float, Drawn]]) -> None:
    """A numbered disc beside each point; discs that would cover each other move up, and a line leads to their point."""
    apart = _SIZE * axes.figure.dpi / 72
    placed: list[tuple[float, float]] = []
    for x, y, drawn in sorted(points, key=lambda point: point[1]):
        right, up = axes.transData.transform((x, y)) + 0.8 * apart
        while any(math.dist((right, up), other) < 1.05 * apart for other in placed):
            up += 0.3 * apart
        placed.append((float(right), float(up)))
        there = axes.transData.inverted().transform((right, up))
        axes.plot([x, there[0]], [y, there[1]], color=drawn.colour, linewidth=0.9, zorder=2)
        _pin(axes, float(there[0]), float(there[1]), drawn)


def _error_scale(axes: Axes, bounds: Sequence[float], means: Sequence[float]) -> None:
    """Intervals are inside where they are not so wide that the means would fall together."""
    low, high = min(means), max(means)
    if low > 0 and high / low > _WIDE:
        axes.set_yscale("log")
        axes.set_ylim(
            max(low / 3, min((b for b in bounds if b > 0), default=low) / 1.1), min(3 * high, 1.2 * max(bounds))
        )
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        room = 2 * max(high - low, 0.2)
        axes.set_ylim(max(0.0, low - room, min(bounds) - 0.1 * room), min(high + room, max(bounds) + 0.1 * room))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{error:g} %"))


def _cost_ticks(axis: Any, unit: str, low: float, high: float) -> None:
    """A few round numbers with their unit, whatever their size."""
    decades = math.log10(high / low)
    subs = (1.0, 2.0, 5.0) if decades < 1.1 else (1.0, 3.0) if decades < 2.2 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, unit)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _tick(value: float, unit: str) -> str:
    """20 µUSD, 5 mWh, 2 TFLOP."""
    if unit in ("kWh", "kg"):
        value, unit = 1000 * value, unit[1:]
    power = min(max(math.floor(math.log10(value) / 3 + 1e-9), -4), 8) if value > 0 else 0
    prefix = "pnµm"[power] if power < 0 else ["", "k", "M", "G", "T", "P", "E", "Z", "Y"][power]
    return f"{value / 1000.0**power:g} {prefix}{unit}"
