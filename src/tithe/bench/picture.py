"""The picture of `tithe bench`: speed-up over density, a panel a row, a line a system, the 1/density limit drawn in."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from tithe import human
from tithe.bench.contestants import DENSE as DENSE_FP32
from tithe.bench.contestants import DENSE_BF16, INSIDE, SPARSE
from tithe.bench.results import best
from tithe.report import drawing
from tithe.report.drawing import DENSE, INK, SMALL, TEXT, TITLE, spread
from tithe.report.drawing import SPARSE as BLUE

COLUMNS = 3  # panels beside each other, at most
PANEL_WIDTH, PANEL_HEIGHT = 6.4, 5.2  # inches, with names and headings
NAMES_WIDTH, MARGIN = 2.7, 0.6  # inches
LEAST_WIDTH = 11.0  # inches of all panels: the headings need it

# Told apart by every kind of colour vision: Okabe and Ito 2008. What is not here stands in the table only.
STYLES: dict[str, dict[str, Any]] = {
    SPARSE: {"color": BLUE, "linewidth": 2.8, "marker": "o"},
    INSIDE: {"color": "#56B4E9", "linewidth": 2.0, "marker": "o"},
    "SparseLab": {"color": "#D55E00", "linewidth": 1.8, "marker": "s"},
    "SparseProp": {"color": "#009E73", "linewidth": 1.8, "marker": "^"},
    "torch CSR": {"color": "#CC79A7", "linewidth": 1.8, "marker": "D"},
}
NAMES = {SPARSE: "tithe", INSIDE: "tithe, inside a network"}


class _Line(NamedTuple):
    system: str
    densities: list[float]  # falling
    speedups: list[float]
    low: list[float]  # of the slower quartile
    high: list[float]


def draw(content: Mapping[str, Any], path: Path | str) -> Path | None:
    """Draw the figures of `bench.json` into `path` (.png, .svg or .pdf); None, and no file, without a sparse one.

    Raises UsageError for another suffix and where the file cannot be written.
    """
    rows = [row for row in content["rows"] if _lines(row)]
    if not rows:
        return None
    columns = min(COLUMNS, len(rows))
    lines = math.ceil(len(rows) / columns)
    panel = max(PANEL_WIDTH, LEAST_WIDTH / columns)
    width, height = columns * panel + MARGIN, lines * PANEL_HEIGHT + 1.5
    figure = drawing.figure(width, height)
    for place, row in enumerate(rows):
        down, across = divmod(place, columns)
        left, bottom = (MARGIN + across * panel) / width, ((lines - down - 1) * PANEL_HEIGHT + 1.1) / height
        size = (panel - NAMES_WIDTH) / width, (PANEL_HEIGHT - 1.5) / height
        axes = figure.add_axes((left, bottom, *size))
        _draw_panel(axes, row)
    figure.text(MARGIN / width, 1 - 0.5 / height, _claim(content), fontsize=TITLE, color=INK, weight="bold")
    figure.text(MARGIN / width, 1 - 0.83 / height, _setting(content), fontsize=TEXT, color=DENSE)
    figure.text(MARGIN / width, 0.2 / height, _where(content), fontsize=SMALL, color=DENSE)
    return drawing.save(figure, Path(path))


def _lines(row: Mapping[str, Any]) -> list[_Line]:
    """Those systems of the row that are drawn, densities falling."""
    dense = _dense(row)
    found = []
    for system in STYLES:
        results = [result for result in best(row) if result["system"] == system]
        results.sort(key=lambda result: -result["density"])
        if results and dense is not None:
            medians, low, high = (
                [dense / result[name] for result in results]
                for name in ("median_ms", "high_quartile_ms", "low_quartile_ms")
            )
            found.append(_Line(system, [result["density"] for result in results], medians, low, high))
    return found


def _dense(row: Mapping[str, Any]) -> float | None:
    """Milliseconds of the best dense float32 variant; None: an interruption came first."""
    return next((result["median_ms"] for result in row["results"] if result["speedup_float32"] == 1.0), None)


def _draw_panel(axes: Axes, row: Mapping[str, Any]) -> None:
    lines = _lines(row)
    densities = sorted({density for line in lines for density in line.densities}, reverse=True)
    drawing.bare(axes)
    axes.set_title(_heading(row), loc="left", fontsize=TEXT, color=INK, pad=26)
    axes.text(0, 1.03, _dense_times(row), transform=axes.transAxes, fontsize=SMALL, color=DENSE)
    _scale(axes, lines, densities)
    _draw_limits(axes, densities)
    for line in lines:
        style = STYLES[line.system]
        axes.fill_between(line.densities, line.low, line.high, color=style["color"], alpha=0.14, linewidth=0)
        axes.plot(line.densities, line.speedups, markersize=5.5, zorder=3, **style)
    names = [(f"{NAMES.get(line.system, line.system)} {_times(line.speedups[-1])}", line) for line in lines]
    labels = [(line.speedups[-1], name, STYLES[line.system]["color"]) for name, line in names]
    labels.append((1.0, "best dense float32", DENSE))
    _label_ends(axes, labels)


def _heading(row: Mapping[str, Any]) -> str:
    return f"{row['title']}, {row['threads']} thread{'s' if row['threads'] > 1 else ''}".replace("->", "→")


def _dense_times(row: Mapping[str, Any]) -> str:
    """What 1x is, in milliseconds."""
    found = {result["system"]: result for result in best(row)}
    said = f"1x: {_ms(found[DENSE_FP32])}, {found[DENSE_FP32]['variant']}"
    return f"{said}; dense bfloat16: {_ms(found[DENSE_BF16])}" if DENSE_BF16 in found else said


def _ms(result: Mapping[str, Any]) -> str:
    return f"{human.three_digits(result['median_ms'])} ms"


def _times(speedup: float) -> str:
    return f"{speedup:.2g}x" if speedup < 9.95 else f"{speedup:.0f}x"


def _scale(axes: Axes, lines: list[_Line], densities: list[float]) -> None:
    """Sparser to the right; both axes logarithmic, so that the limit is a straight line."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(densities[0] * 1.15, densities[-1] / 1.15)
    axes.xaxis.set_major_locator(FixedLocator(densities))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda density, _: human.density(density)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("density, the weights that exist", fontsize=TEXT, color=INK)
    speeds = [speedup for line in lines for speedup in (*line.low, *line.high)]
    axes.set_ylim(min(0.7, min(speeds) / 1.2), 1.3 * max(1 / densities[-1], *speeds))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda speedup, _: f"{speedup:g}x"))
    axes.yaxis.set_minor_locator(NullLocator())


def _draw_limits(axes: Axes, densities: list[float]) -> None:
    """Break-even, and what would be reached if time were in proportion to the weights."""
    axes.axhline(1.0, color=DENSE, linewidth=1.6)
    axes.plot(densities, [1 / density for density in densities], color=INK, linewidth=1.2, linestyle=(0, (5, 3)))
    middle = densities[len(densities) // 2]
    axes.annotate(
        "limit: 1/density",
        (middle, 1 / middle),
        xytext=(-8, 4),
        textcoords="offset points",
        ha="right",
        fontsize=SMALL,
        color=INK,
    )


def _label_ends(axes: Axes, labels: list[tuple[float, str, str]]) -> None:
    """Name the lines right of the panel at the height of their ends, moved apart where they would touch."""
    ordered = sorted(labels)
    heights = [axes.transAxes.inverted().transform(axes.transData.transform((1, label[0])))[1] for label in ordered]
    apart = 1.35 * TEXT / 72 / (PANEL_HEIGHT - 1.5)  # in panel heights
    for height, (_, text, colour) in zip(spread(heights, apart), ordered, strict=True):
        axes.text(1.02, height, text, transform=axes.transAxes, va="center", fontsize=SMALL, color=colour)


def _claim(content: Mapping[str, Any]) -> str:
    """The range over all panels at the density nearest to 5 %."""
    ours = [line for row in content["rows"] for line in _lines(row) if line.system == SPARSE]
    if not ours:
        return "Speed-up over density"
    density = min((d for line in ours for d in line.densities), key=lambda d: abs(math.log(d / 0.05)))
    found = [line.speedups[line.densities.index(density)] for line in ours if density in line.densities]
    low, high = _times(min(found)), _times(max(found))
    reach = low if low == high else f"{low} to {high}"
    what = "networks" if content["what"] == "step" else "layers"
    return f"With {human.density(density)} of the weights, {what} train at {reach} the speed of the best dense ones"


def _setting(content: Mapping[str, Any]) -> str:
    what = "whole training steps" if content["what"] == "step" else "forward and both gradients"
    return f"Speed-up of {what}, measured; medians, shaded the middle half of interleaved rounds"


def _where(content: Mapping[str, Any]) -> str:
    machine, versions = content["machine"], content["versions"]
    installed = ", ".join(f"{name} {version}" for name, version in versions.items() if version is not None)
    return f"{machine['processor']}, {machine['torch_instruction_set']}, torch {machine['torch']}, {installed}"
