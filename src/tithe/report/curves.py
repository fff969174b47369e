"""The learning curves of a run: loss and accuracy epoch by epoch, and accuracy against the work it took."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from tithe import human
from tithe.report import drawing
from tithe.report.drawing import DENSE, INK, SPARSE, TEXT, TITLE


class _Curve(NamedTuple):
    label: str
    colour: str
    epochs: list[int]
    loss: list[float]  # nat, of the test examples
    accuracy: list[float]  # percent, of the test examples
    flop: list[float]  # spent on training up to the end of each epoch


def curves(report: Mapping[str, Any], path: Path | str) -> Path | None:
    """Draw the curves into `path` (.png, .svg or .pdf); None, and no file, if no epoch was finished.

    A row of the history is what was known at the end of an epoch; its `training_flop` is the total up to there.
    Raises UsageError for another suffix and where the file cannot be written.
    """
    drawn = [
        _curve(name, colour, report[name])
        for name, colour in [("dense", DENSE), ("sparse", SPARSE)]
        if report[name] is not None and report[name]["history"]
    ]
    if not drawn:
        return None
    figure = drawing.figure(14, 4.8)
    # The gaps hold the curves' names, which stand right of their ends.
    left, middle, right = (figure.add_axes((x, 0.14, 0.22, 0.58)) for x in (0.045, 0.385, 0.76))
    _draw_loss(left, drawn)
    _draw_accuracy(middle, drawn, human.accuracy_decimals(report["data"]["n_test"]))
    _draw_work(right, drawn)
    figure.text(0.02, 0.92, _claim(report), fontsize=TITLE, color=INK, weight="bold")
    figure.text(0.02, 0.845, _setting(report), fontsize=TEXT, color=DENSE, parse_math=False)
    return drawing.save(figure, Path(path))


def _curve(label: str, colour: str, run: Mapping[str, Any]) -> _Curve:
    rows = run["history"]
    return _Curve(
        label,
        colour,
        epochs=list(range(1, len(rows) + 1)),
        loss=[row["test_loss"] for row in rows],
        accuracy=[100 * row["accuracy"] for row in rows],
        flop=[row["training_flop"] for row in rows],
    )


def _plot(axes: Axes, x: Sequence[float], y: list[float], colour: str) -> None:
    """A line that ends in a dot: the result. With a single epoch the dot is all there is."""
    axes.plot(x, y, color=colour, linewidth=2.2)
    axes.plot(x[-1:], y[-1:], color=colour, marker="o", markersize=6.5, clip_on=False)


def _draw_loss(axes: Axes, drawn: list[_Curve]) -> None:
    for curve in drawn:
        _plot(axes, curve.epochs, curve.loss, curve.colour)
    losses = [loss for curve in drawn for loss in curve.loss]
    if min(losses) > 0:
        axes.set_yscale("log")
        axes.set_ylim(min(losses) / 1.2, max(losses) * 1.2)
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    _dress(axes, "test loss, nat", "epoch")
    _count_epochs(axes, drawn)
    _label_ends(axes, drawn, lambda curve: curve.loss, lambda loss: f"{loss:.3f}")


def _draw_accuracy(axes: Axes, drawn: list[_Curve], decimals: int) -> None:
    for curve in drawn:
        _plot(axes, curve.epochs, curve.accuracy, curve.colour)
    _dress(axes, "test accuracy, %", "epoch")
    _show_window(axes, drawn)
    _count_epochs(axes, drawn)
    _label_ends(axes, drawn, lambda curve: curve.accuracy, lambda value: f"{value:.{decimals}f} %")


def _draw_work(axes: Axes, drawn: list[_Curve]) -> None:
    """Accuracy against training FLOP: the further left, the less work for the same accuracy."""
    axes.set_xscale("log")
    for curve in drawn:
        _plot(axes, curve.flop, curve.accuracy, curve.colour)
    _dress(axes, "test accuracy, %", "training FLOP")
    low = _show_window(axes, drawn)
    # Zoomed in on what the window shows, with a margin right of the last point.
    begin = min(flop for curve in drawn for flop, acc in zip(curve.flop, curve.accuracy, strict=True) if acc >= low)
    end = max(curve.flop[-1] for curve in drawn)
    axes.set_xlim(begin / 1.5, end * (end / begin) ** 0.05)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if end > 30 * begin else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda flop, _: human.tick(flop)))
    axes.xaxis.set_minor_locator(NullLocator())
    _name_work(axes, drawn)


def _name_work(axes: Axes, drawn: list[_Curve]) -> None:
    """Name each curve above its last point with the FLOP spent, one name above the other where they would touch."""
    pixels = [axes.transData.transform((curve.flop[-1], 1))[0] for curve in drawn]
    spent = [human.si(curve.flop[-1], "FLOP") for curve in drawn]
    width = 0.7 * max(map(len, spent)) * _pixels(axes, TEXT)
    touch = len(drawn) > 1 and abs(pixels[0] - pixels[1]) < width
    for place, (curve, flop) in enumerate(zip(drawn, spent, strict=True)):
        leftmost = pixels[place] - axes.transAxes.transform((0, 0))[0] < width
        axes.annotate(
            f"{curve.label} {flop}" if touch else f"{curve.label}\n{flop}",
            (curve.flop[-1], max(other.accuracy[-1] for other in drawn)),
            xytext=(-7 if leftmost else 7, 10 + (1.35 * TEXT * place if touch else 0)),
            textcoords="offset points",
            ha="left" if leftmost else "right",
            fontsize=TEXT,
            color=curve.colour,
            annotation_clip=False,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )


def _pixels(axes: Axes, points: float) -> float:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return points * figure.dpi / 72


def _dress(axes: Axes, title: str, below: str) -> None:
    """The quantity stands above the panel, where it is read first, and not sideways along the axis."""
    drawing.bare(axes)
    axes.set_title(title, loc="left", fontsize=TEXT, color=INK, pad=8)
    axes.set_xlabel(below, fontsize=TEXT, color=INK)


def _count_epochs(axes: Axes, drawn: list[_Curve]) -> None:
    last = max(len(curve.epochs) for curve in drawn)
    axes.set_xlim(1 - 0.02 * last, max(last, 2))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))


def _show_window(axes: Axes, drawn: list[_Curve]) -> float:
    """Show the accuracies worth looking at, the same in each panel, with room for names above; the lower end.

    The worst tenth lies below the picture: it would leave the differences at the end no room.
    """
    seen = sorted(accuracy for curve in drawn for accuracy in curve.accuracy)
    low, high = seen[len(seen) // 10], seen[-1]
    span = max(high - low, 0.5)
    low -= 0.05 * span
    axes.set_ylim(low, high + 0.3 * span)
    ticks = MaxNLocator(nbins=5, steps=[1, 2, 5, 10]).tick_values(low, high)
    axes.set_yticks([tick for tick in ticks if low <= tick <= min(100, high + 0.1 * span)])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
    return low


def _label_ends(
    axes: Axes, drawn: list[_Curve], values: Callable[[_Curve], list[float]], show: Callable[[float], str]
) -> None:
    """Name each curve at its last point, right of the panel; names that would touch are moved apart."""
    ordered = sorted(drawn, key=lambda curve: values(curve)[-1])
    heights = [axes.transData.transform((1, values(curve)[-1]))[1] for curve in ordered]  # pixels
    apart = 1.3 * _pixels(axes, TEXT)
    middle = sum(heights) / len(heights)
    if heights[-1] - heights[0] < apart * (len(heights) - 1):
        heights = [middle + apart * (place - (len(heights) - 1) / 2) for place in range(len(heights))]
    for curve, height in zip(ordered, heights, strict=True):
        y = axes.transAxes.inverted().transform((0, height))[1]
        text = f"{curve.label} {show(values(curve)[-1])}"
        axes.text(1.035, y, text, transform=axes.transAxes, va="center", fontsize=TEXT, color=curve.colour)


def _claim(report: Mapping[str, Any]) -> str:
    sparse, dense = report["sparse"], report["dense"]
    decimals = human.accuracy_decimals(report["data"]["n_test"])
    claim = f"{human.density(sparse['density'])} of the weights: {human.percent(sparse['accuracy'], decimals)} right"
    if dense is None:
        return claim
    work = human.percent(sparse["training_flop"] / dense["training_flop"])
    return f"{claim} with {work} of the training FLOP; dense {human.percent(dense['accuracy'], decimals)}"


def _setting(report: Mapping[str, Any]) -> str:
    data = report["data"]
    return f"{report['model']} on {data['name']} ({data['n_test']:,} test examples), {report['method']}"
