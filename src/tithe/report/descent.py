"""How the test error fell: over epochs, and over the training FLOP that were spent."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from tithe import human
from tithe.cost.run import Point
from tithe.report import drawing
from tithe.report.drawing import INK, SMALL

Axis = Literal["epoch", "flop"]
WIDTH, HEIGHT = 4.7, 3.1  # inches: about a phone's width at the size of its own text
_WORST = 0.1  # of all points: they lie above the picture, or the end would have no room
_WIDE = 3.0  # errors that span this factor are drawn on a logarithmic scale


class Curve(NamedTuple):
    """One half's curve, and how it is drawn."""

    label: str
    colour: str
    points: Sequence[Point]
    dashed: bool = False  # the dense half, where colour stands for the run


def descent(curves: Sequence[Curve], over: Axis) -> Picture | None:
    """The picture; None where no half has a point with both quantities."""
    drawn = [(curve, _known(curve, over)) for curve in curves]
    drawn = [(curve, known) for curve, known in drawn if known]
    if not drawn:
        return None
    picture = drawing.figure(WIDTH, HEIGHT)
    axes = picture.add_axes((0.125, 0.165, 0.855, 0.79))
    drawing.bare(axes)
    for curve, known in drawn:
        style = {"color": curve.colour, "linewidth": 2.0}
        x, y = zip(*known, strict=True)
        axes.plot(x, y, linestyle=(0, (4, 2)) if curve.dashed else "-", **style)
        axes.plot(x[-1:], y[-1:], marker="o", markersize=6, clip_on=False, **style)
    _scale_error(axes, [error for _, known in drawn for _, error in known])
    points = [x for _, known in drawn for x, _ in known]
    (_scale_flop if over == "flop" else _scale_epochs)(axes, points)
    return picture


def _known(curve: Curve, over: Axis) -> list[tuple[float, float]]:
    """(x, error in percent) of the points where both are known."""
    value: Callable[[Point], float | None] = lambda point: getattr(point, over)  # noqa: E731
    return [(x, 100 * p.error) for p in curve.points if p.error is not None and (x := value(p))]


def _scale_error(axes: Axes, errors: list[float]) -> None:
    seen = sorted(errors)
    low, high = seen[0], seen[min(len(seen) - 1, int((1 - _WORST) * len(seen)))]
    if low > 0 and high / low > _WIDE:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.15, high * 1.1)
        axes.yaxis.set_major_locator(
            LogLocator(subs=(1.0, 2.0, 5.0) if high > 8 * low else (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
        )
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        room = 0.08 * max(high - low, 0.2)
        axes.set_ylim(max(low - room, -0.4 * room), high + room)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{error:g} %"))


def _scale_epochs(axes: Axes, epochs: list[float]) -> None:
    last = max(epochs)
    axes.set_xlim(1 - 0.02 * last, max(last, 2))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.set_xlabel("epoch", fontsize=SMALL, color=INK)


def _scale_flop(axes: Axes, flop: list[float]) -> None:
    least, most = min(flop), max(flop)
    axes.set_xscale("log")
    axes.set_xlim(least / 1.2, most * 1.2)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if most > 30 * least else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: human.tick(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("training FLOP", fontsize=SMALL, color=INK)
