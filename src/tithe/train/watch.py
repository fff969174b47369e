"""Who is told how several trainings go, such as a progress bar."""

from collections.abc import Sequence
from typing import Protocol

from tithe.train.loop import Tick


class Watch(Protocol):
    """Is told of each training's begin, ticks and end."""

    def begin(self, what: str, names: Sequence[str], done: int) -> None:
        """Some trainings, of which `what` says what they are, are to be done; so many of them are done already."""

    def training(self, name: str, tick: Tick) -> None:
        """One of them trains."""

    def end(self, name: str, says: str) -> None:
        """One of them is done."""
