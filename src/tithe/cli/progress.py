"""Progress on stderr: bars where there is a terminal, otherwise a line now and then."""

import contextlib
import math
import sys
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from tithe.train.loop import Tick

LINES_A_HALF = 10
REDRAWS_A_SECOND = 4  # redrawing takes time from training


class Watch(Protocol):
    """Who is told how things go."""

    def training(self, tick: Tick) -> None:
        """A network trains."""

    def download(self, name: str, done: int, total: int) -> None:
        """A file is fetched: bytes done, bytes in all."""


@contextlib.contextmanager
def watching() -> Iterator[Watch]:
    """Show what happens in the block."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    words, left = TextColumn("{task.fields[details]}"), (TextColumn("left"), TimeRemainingColumn())
    columns = TextColumn("{task.description}"), BarColumn(bar_width=24), words, *left
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=REDRAWS_A_SECOND) as progress:
        yield Bars(progress)


class Bars:
    """A bar for each half and each file, made when it is first heard of."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def training(self, tick: Tick) -> None:
        """Move the half's bar."""
        self._show(f"{tick.half:<6}", tick.step, tick.total_steps, _describe(tick))

    def download(self, name: str, done: int, total: int) -> None:
        """Move the file's bar."""
        self._show(name, done, total, f"{done / 1e6:.1f} of {total / 1e6:.1f} MB")

    def _show(self, name: str, done: int, total: int, details: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total, details=details)
        self._progress.update(self._tasks[name], completed=done, total=total, details=details)


class Lines:
    """For logs: about ten lines a half, and one a file."""

    def training(self, tick: Tick) -> None:
        """A line after every tenth of the epochs."""
        apart = math.ceil(tick.epochs / LINES_A_HALF)
        if tick.epoch_ended and (tick.epoch % apart == 0 or tick.epoch == tick.epochs):
            print(f"{tick.half:<6} {_describe(tick)}", file=sys.stderr, flush=True)

    def download(self, name: str, done: int, total: int) -> None:
        """A line when the file is complete."""
        if done == total:
            print(f"fetched {name}, {total / 1e6:.1f} MB", file=sys.stderr, flush=True)


def _describe(tick: Tick) -> str:
    accuracy = "-" if tick.accuracy is None else f"{100 * tick.accuracy:.2f} %"
    return f"epoch {tick.epoch}/{tick.epochs}  loss {tick.loss:.4f}  accuracy {accuracy}"
