"""The table at the end of `tithe train`: sparse beside dense, each figure with its unit and how it is known."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tithe import human

Report = Mapping[str, Any]
_MISSING = "-"


class _Row(NamedTuple):
    label: str
    field: str  # of a run in the report
    show: Callable[[float], str]
    compare: Callable[[float, float], str]  # (sparse, dense)


def table(report: Report) -> Table:
    """What sparse training cost and reached, beside dense training, with ratios; sparse alone where dense is null.

    Every figure carries its unit; the last column says whether it was measured or counted, as `report["units"]` has it.
    """
    sparse, dense = report["sparse"], report["dense"]
    shown = Table(title=_title(report), caption=_CAPTION, box=SIMPLE_HEAD, title_style="bold", caption_style="")
    shown.title_justify = shown.caption_justify = "left"
    shown.add_column("")
    shown.add_column(f"sparse, {human.density(sparse['density'])}", justify="right")
    if dense is not None:
        shown.add_column("dense", justify="right")
        shown.add_column("sparse / dense", justify="right")
    shown.add_column("known")
    for row in _rows(report["data"]["n_test"]):
        cells = [row.label, row.show(sparse[row.field])]
        if dense is not None:
            cells += [row.show(dense[row.field]), row.compare(sparse[row.field], dense[row.field])]
        shown.add_row(*cells, report["units"].get(row.field, {}).get("known", _MISSING))
    return shown


_CAPTION = (
    "Memory is that of weights, indices, gradients and optimizer state; activations and data are not in it. "
    "Time and FLOP are those of training, without evaluation."
)


def _title(report: Report) -> str:
    return f"{report['model']} on {report['data']['name']}, {report['sparse']['epochs']} epochs, {report['method']}"


def _rows(test_examples: int) -> list[_Row]:
    decimals = human.accuracy_decimals(test_examples)
    size = partial(human.si, unit="B")
    return [
        _Row("test accuracy", "accuracy", partial(human.percent, decimals=decimals), partial(_points, decimals)),
        _Row("training time", "seconds", human.duration, _ratio),
        _Row("training FLOP", "training_flop", partial(human.si, unit="FLOP"), _ratio),
        _Row("memory", "steady_bytes", size, _ratio),
        _Row("memory while scouting", "peak_bytes", size, _ratio),
        _Row("weights and indices", "weight_bytes", size, _ratio),
        _Row("weights kept (nnz)", "nnz", "{:,}".format, _ratio),
    ]


def _ratio(sparse: float, dense: float) -> str:
    return human.three_digits(sparse / dense) if dense else _MISSING


def _points(decimals: int, sparse: float, dense: float) -> str:
    return f"{100 * (sparse - dense):+.{decimals}f} points"
