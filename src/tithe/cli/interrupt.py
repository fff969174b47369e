"""After Ctrl-C or SIGTERM: say what is kept and how to go on."""

import contextlib
import shlex
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from pathlib import Path

from tithe.cli import STATUS_INTERRUPTED, STATUS_TERMINATED, Stopped


@contextlib.contextmanager
def explained(
    out: Path, verb: str = "train", begun: str = "run.json", kept: str = "every finished epoch is"
) -> Iterator[None]:
    """Give an interruption of the block its sentence; the exit status stays that of the interruption.

    Args:
        out: the folder of it all.
        verb: what goes on there with --resume.
        begun: a file of `out` without which nothing has been written.
        kept: what is not lost.
    """

    def kept_there() -> str:
        if not (out / begun).exists():
            return "nothing was written."
        return f"{kept} kept, go on with: tithe {verb} --resume --out {shlex.quote(str(out))}"

    with stopping(kept_there):
        yield


@contextlib.contextmanager
def stopping(kept: Callable[[], str]) -> Iterator[None]:
    """Say after an interruption of the block what is kept, which is asked only then."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise Stopped(f"interrupted; {kept()}", STATUS_INTERRUPTED) from stop
    except Stopped as stop:
        raise Stopped(f"terminated; {kept()}", stop.exit_status) from stop
    except BrokenExecutor as stop:
        why = "one of the --processes was ended from outside, perhaps for want of memory"
        raise Stopped(f"{why}; {kept()}", STATUS_TERMINATED) from stop
