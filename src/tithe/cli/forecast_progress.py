"""Progress of `tithe forecast` on stderr: what it is at; without a terminal only once it takes longer than usual."""

import contextlib
import sys
import time
from collections.abc import Iterator

from rich.console import Console

from tithe.forecast.engine import Watch

PATIENCE = 2.0  # seconds


@contextlib.contextmanager
def watching() -> Iterator[Watch]:
    """Show what happens in the block."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    with Console(stderr=True).status("forecast") as status:
        yield lambda step: status.update(f"forecast: {step}")


class Lines:
    """For logs: a line a step, beginning when two seconds have passed."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, step: str) -> None:
        """What comes next."""
        if time.monotonic() - self._began > PATIENCE:
            print(f"forecast: {step}", file=sys.stderr, flush=True)
