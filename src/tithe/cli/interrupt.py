"""After Ctrl-C or SIGTERM: say what is kept and how to go on."""

import contextlib
import shlex
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
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

    def stopped(how: str, status: int) -> Stopped:
        if not (out / begun).exists():
            return Stopped(f"{how}; nothing was written.", status)
        go_on = f"tithe {verb} --resume --out {shlex.quote(str(out))}"
        return Stopped(f"{how}; {kept} kept, go on with: {go_on}", status)

    try:
        yield
    except KeyboardInterrupt as stop:
        raise stopped("interrupted", STATUS_INTERRUPTED) from stop
    except Stopped as stop:
        raise stopped("terminated", stop.exit_status) from stop
    except BrokenProcessPool as stop:
        why = "one of the --processes was ended from outside, perhaps for want of memory"
        raise stopped(why, STATUS_TERMINATED) from stop
