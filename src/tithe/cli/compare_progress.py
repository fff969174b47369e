"""Progress over all runs of a comparison, on stderr: bars where there is a terminal, otherwise a line a run."""

import contextlib
import sys
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from tithe.cli.progress import REDRAWS_A_SECOND
from tithe.train.loop import Tick


@contextlib.contextmanager
def watching() -> Iterator["Bars | Lines"]:
    """Show what happens in the block."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    words, left = TextColumn("{task.fields[details]}"), (TextColumn("left"), TimeRemainingColumn())
    columns = TextColumn("{task.description}"), BarColumn(bar_width=24), words, *left
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=REDRAWS_A_SECOND) as progress:
        yield Bars(progress)


class Bars:
    """A bar for all runs together, and one for each that trains now."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._all: TaskID | None = None
        self._tasks: dict[str, TaskID] = {}

    def begin(self, what: str, names: Sequence[str], done: int) -> None:
        """A bar for all of them."""
        self._all = self._progress.add_task(what, total=len(names), completed=done, details=f"{done} of {len(names)}")

    def training(self, name: str, tick: Tick) -> None:
        """Move the run's bar."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=tick.total_steps, details="")
        details = f"epoch {tick.epoch}/{tick.epochs}  loss {tick.loss:.4f}"
        self._progress.update(self._tasks[name], completed=tick.step, total=tick.total_steps, details=details)

    def end(self, name: str, says: str) -> None:
        """The run's bar goes, a line stays."""
        if (task := self._tasks.pop(name, None)) is not None:
            self._progress.remove_task(task)
        self._progress.console.print(f"{name}: {says}", highlight=False)
        assert self._all is not None
        self._progress.advance(self._all)
        task = next(each for each in self._progress.tasks if each.id == self._all)
        self._progress.update(self._all, details=f"{int(task.completed)} of {int(task.total or 0)}")

    def download(self, name: str, done: int, total: int) -> None:
        """Move the file's bar."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total, details="")
        self._progress.update(self._tasks[name], completed=done, details=f"{done / 1e6:.1f} of {total / 1e6:.1f} MB")


class Lines:
    """For logs: a line a run."""

    def __init__(self) -> None:
        self._done = self._total = 0

    def begin(self, what: str, names: Sequence[str], done: int) -> None:
        """How many there are, and how many are done already."""
        self._done, self._total = done, len(names)
        already = f", {done} of them done already" if done else ""
        print(f"{len(names)} {what}{already}", file=sys.stderr, flush=True)

    def training(self, name: str, tick: Tick) -> None:
        """Nothing: there would be too many lines."""

    def end(self, name: str, says: str) -> None:
        """A line."""
        self._done += 1
        print(f"{self._done}/{self._total}  {name}: {says}", file=sys.stderr, flush=True)

    def download(self, name: str, done: int, total: int) -> None:
        """A line when the file is complete."""
        if done == total:
            print(f"fetched {name}, {total / 1e6:.1f} MB", file=sys.stderr, flush=True)
