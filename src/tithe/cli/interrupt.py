"""After Ctrl-C or SIGTERM: say what is kept and how to go on."""

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path

from tithe.cli import STATUS_INTERRUPTED, Stopped


@contextlib.contextmanager
def explained(out: Path) -> Iterator[None]:
    """Give an interruption of the block its sentence; the exit status stays that of the interruption."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise Stopped(f"interrupted; {_how_to_go_on(out)}", STATUS_INTERRUPTED) from stop
    except Stopped as stop:
        raise Stopped(f"terminated; {_how_to_go_on(out)}", stop.exit_status) from stop


def _how_to_go_on(out: Path) -> str:
    if not (out / "run.json").exists():
        return "nothing was written."
    return f"every finished epoch is kept, go on with: tithe train --resume --out {shlex.quote(str(out))}"
