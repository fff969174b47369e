"""Where the first layer looks: how many of its weights each input pixel kept."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator

from tithe import human
from tithe.report import drawing
from tithe.report.drawing import DENSE, INK, SMALL, SPARSE, TEXT, TITLE

# Light to dark, in lightness alone: pale grey for a pixel nobody looks at, the colour of sparse runs in the middle.
_COLOURS = LinearSegmentedColormap.from_list("kept", ["#F5F5F5", "#9CCBE8", SPARSE, "#002A45"])


def first_layer(report: Mapping[str, Any], path: Path | str) -> Path | None:
    """Draw a heat map of the kept weights per pixel, summed over channels, into `path` (.png, .svg or .pdf).

    None, and no file, where there is no such thing: tabular data, or a first layer that slides over the image.
    Raises UsageError for another suffix and where the file cannot be written.
    """
    inputs = report["sparse"].get("first_layer_inputs")
    if inputs is None or len(inputs["shape"]) != 3:
        return None
    kept = _per_pixel(inputs)
    figure = drawing.figure(7.2, 7.8)
    axes = figure.add_axes((0.06, 0.19, 0.74, 0.683), anchor="NW")
    image = axes.imshow(kept, cmap=_COLOURS, vmin=0, vmax=max(kept.max(), 1), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(DENSE)
    bar = figure.colorbar(image, cax=figure.add_axes((0.83, 0.19, 0.03, 0.683)))
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    bar.ax.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    bar.ax.tick_params(labelsize=SMALL, colors=INK, length=3)
    bar.ax.set_title("weights\na pixel", fontsize=SMALL, color=INK, loc="left", pad=8)
    figure.text(0.06, 0.945, "Which pixels the first layer kept", fontsize=TITLE, color=INK, weight="bold")
    setting = f"{report['model']} on {report['data']['name']}"
    figure.text(0.06, 0.91, setting, fontsize=TEXT, color=DENSE, parse_math=False)  # a file may be called $x$
    caption = textwrap.fill(_caption(kept, report["sparse"]["layers"][0]), 68)
    figure.text(0.06, 0.16, caption, fontsize=TEXT, color=INK, va="top", linespacing=1.4)
    return drawing.save(figure, Path(path))


def _per_pixel(inputs: Mapping[str, Any]) -> np.ndarray:
    """[H, W] counts, from [H, W] or from [C, H, W]."""
    kept = np.asarray(inputs["kept"])
    return kept.sum(axis=0) if kept.ndim == 3 else kept


def _caption(kept: np.ndarray, layer: Mapping[str, Any]) -> str:
    """The picture's numbers in words."""
    total = int(kept.sum())
    logical = int(np.prod(layer["shape"]))
    text = f"The first layer keeps {total:,} of {logical:,} weights ({human.percent(total / logical)})."
    if total == 0:
        return text
    rows, columns = (slice(side // 4, side - side // 4) for side in kept.shape)
    middle = kept[rows, columns]
    unseen = int((kept == 0).sum())
    return (
        f"{text} The middle of the picture, {human.percent(middle.size / kept.size, 0)} of its area, holds "
        f"{human.percent(middle.sum() / total, 0)} of them. "
        f"{unseen:,} of {kept.size:,} pixels kept none; spread evenly, each would keep {total / kept.size:.1f}."
    )
