"""Progress of `tithe bench` on stderr: bars where there is a terminal, otherwise a line a row."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from tithe.bench.run import Moment

REDRAWS_A_SECOND = 2  # redrawing takes time from what is measured


@contextlib.contextmanager
def watching() -> Iterator[Callable[[Moment], None]]:
    """Show what happens in the block."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    columns = TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[doing]}")
    # Drawn between two turns and by no thread of its own, which would run while a contestant does.
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as progress:
        yield Bars(progress)


class Bars:
    """A bar for each row and number of threads."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[int, TaskID] = {}
        self._drawn = 0.0

    def __call__(self, moment: Moment) -> None:
        """Move the row's bar."""
        if moment.row not in self._tasks:
            self._tasks[moment.row] = self._progress.add_task(_describe(moment), total=1.0, doing=moment.doing)
        self._progress.update(self._tasks[moment.row], completed=moment.fraction, doing=moment.doing)
        now = self._progress.get_time()
        if now - self._drawn > 1 / REDRAWS_A_SECOND or moment.fraction == 1.0:
            self._progress.refresh()
            self._drawn = now


class Lines:
    """For logs: a line when a row begins."""

    def __init__(self) -> None:
        self._said = 0

    def __call__(self, moment: Moment) -> None:
        """Say which row it is, once."""
        if moment.row != self._said:
            print(_describe(moment), file=sys.stderr, flush=True)
            self._said = moment.row


def _describe(moment: Moment) -> str:
    return f"{moment.row}/{moment.rows}  {moment.title}"
