"""What the pictures share: colours, sizes, and how a figure becomes a file. No pyplot, so no global state."""

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tithe.errors import UsageError
from tithe.train.files import write_atomically

# Told apart by every kind of colour vision and in grey: Okabe and Ito 2008, blue; and a middle grey.
SPARSE, DENSE = "#0072B2", "#737373"
INK, FAINT = "#222222", "#E3E3E3"
PALETTE = (SPARSE, "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # runs beside each other
TITLE, TEXT, SMALL = 16, 12.5, 11  # points
_SUFFIXES = (".png", ".svg", ".pdf")


def figure(width: float, height: float) -> Figure:
    """An empty white figure, sizes in inches."""
    made = Figure(figsize=(width, height), dpi=160, facecolor="white")
    FigureCanvasAgg(made)
    return made


def bare(axes: Axes) -> None:
    """Only what carries information: two thin spines, faint lines across, small labels."""
    axes.set_facecolor("white")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(DENSE)
    axes.grid(visible=True, axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", labelsize=SMALL, colors=INK, length=3, color=DENSE)


def check_name(path: Path) -> None:
    """Raises UsageError for a suffix that no picture has: before the work, where drawing comes last."""
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(
            f"cannot draw {path.name}: a picture's name ends in {', '.join(_SUFFIXES)}; choose one of them."
        )


def save(made: Figure, path: Path) -> Path:
    """Write the picture in the format of the suffix, whole or not at all.

    Raises UsageError for another suffix and where the file cannot be written.
    """
    check_name(path)
    kind = path.suffix.lower()
    # Without the date the same report gives the same file.
    dated = {".png": "Creation Time", ".svg": "Date", ".pdf": "CreationDate"}[kind]
    content = io.BytesIO()
    made.savefig(content, format=kind[1:], metadata={dated: None})
    write_atomically(path, content.getvalue())
    return path


def spread(heights: Sequence[float], apart: float) -> list[float]:
    """Ascending heights, moved as little as it takes to be `apart` from each other.

    >>> spread([0.0, 0.0, 3.0], 1.0)
    [-0.5, 0.5, 3.0]
    """
    # Groups that touch are merged and centred on the mean of where their members want to be.
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _bottom(groups[-1], apart) < _bottom(groups[-2], apart) + len(groups[-2]) * apart:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_bottom(group, apart) + place * apart for group in groups for place in range(len(group))]


def _bottom(group: list[float], apart: float) -> float:
    return sum(group) / len(group) - apart * (len(group) - 1) / 2
