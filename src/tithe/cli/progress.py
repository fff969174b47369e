"""Progress on stderr: a bar where there is a terminal, otherwise a line now and then."""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tithe.train.loop import Tick

Watch = Callable[[Tick], None]
LINES_A_HALF = 10
REDRAWS_A_SECOND = 4  # redrawing takes time from training


@contextlib.contextmanager
def watching() -> Iterator[Watch]:
    """What to call with every tick of a training."""
    if not sys.stderr.isatty():
        yield _print_line
        return
    with _bars() as progress:
        yield _Bars(progress)


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description:<6}"),
        BarColumn(bar_width=24),
        TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
        TextColumn("loss {task.fields[loss]}"),
        TextColumn("accuracy {task.fields[accuracy]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        refresh_per_second=REDRAWS_A_SECOND,
    )


class _Bars:
    """A bar for each half, made at its first tick."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, tick: Tick) -> None:
        shown = {
            "epoch": tick.epoch,
            "epochs": tick.epochs,
            "loss": f"{tick.loss:.4f}",
            "accuracy": _percent(tick.accuracy),
        }
        if tick.half not in self._tasks:
            self._tasks[tick.half] = self._progress.add_task(tick.half, total=tick.total_steps, **shown)
        self._progress.update(self._tasks[tick.half], completed=tick.step, **shown)


def _print_line(tick: Tick) -> None:
    apart = math.ceil(tick.epochs / LINES_A_HALF)
    if tick.epoch_ended and (tick.epoch % apart == 0 or tick.epoch == tick.epochs):
        line = (
            f"{tick.half:<6} epoch {tick.epoch}/{tick.epochs}  loss {tick.loss:.4f}  accuracy {_percent(tick.accuracy)}"
        )
        print(line, file=sys.stderr, flush=True)


def _percent(accuracy: float | None) -> str:
    return "-" if accuracy is None else f"{100 * accuracy:.2f} %"
