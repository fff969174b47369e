"""Logarithmic axes with ticks that can be read: sizes as powers of ten, errors as round percentages."""

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from tithe.report.drawing import INK, TEXT

_FEWEST = 5  # ticks
# From coarse to fine, times powers of ten.
_ROUND = (
    (1, 2, 5),
    (1, 1.5, 2, 3, 5, 7),
    (1, 1.2, 1.5, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9),
    tuple(1 + step / 10 for step in range(90)),
)


def size_axis(axes: Axes, start: float, end: float, name: str) -> None:
    """Compute, labels or parameters along the bottom."""
    axes.set_xscale("log")
    axes.set_xlim(start, end)
    axes.xaxis.set_major_locator(LogLocator(numticks=12))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(name, fontsize=TEXT, color=INK)


def error_axis(axes: Axes, least: float, most: float) -> None:
    """Errors (fractions) upward, with room below the least and above the most."""
    bottom, top = least / 1.2, min(1.0, most * 1.12)
    axes.set_yscale("log")
    axes.set_ylim(bottom, top)
    axes.yaxis.set_major_locator(FixedLocator(ticks(bottom, top)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{100 * error:.3g} %"))
    axes.set_ylabel("error", fontsize=TEXT, color=INK)


def ticks(bottom: float, top: float) -> list[float]:
    """The coarsest round numbers between the two that are enough.

    >>> ticks(0.03, 0.4)
    [0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3]
    """
    found: list[float] = []
    for each in _ROUND:
        found = [number * 10.0**power for power in range(-9, 1) for number in each]
        found = [float(f"{tick:.3g}") for tick in found if bottom <= float(f"{tick:.3g}") <= top]
        if len(found) >= _FEWEST:
            break
    return found
