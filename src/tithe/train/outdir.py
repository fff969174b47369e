"""The folder of a run: whose it is, and that only one process writes it."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tithe.errors import UsageError
from tithe.train.files import locked, make_folder, write_json

RUN = "run.json"
REPORT = "report.json"


def recorded(out: Path, resume: bool) -> dict[str, Any] | None:
    """What `run.json` in `out` says about the run it holds, or None where a new run may begin. Writes nothing.

    Raises:
        UsageError: `out` is a file, holds something else than a run, or holds a run and `resume` was not asked for.
    """
    if not out.exists():
        _check_reachable(out)
        return None
    if not out.is_dir():
        raise UsageError(f"--out {out} is a file; name a folder that is new, empty or holds a run to --resume.")
    if (out / RUN).exists():
        if not resume:
            state = "a finished run" if (out / REPORT).exists() else "an unfinished run"
            raise UsageError(
                f"{out} already holds {state}; continue it with --resume or choose another folder with --out."
            )
        return _read(out / RUN)
    if any(not path.name.startswith(".") for path in out.iterdir()):
        raise UsageError(f"{out} holds other files and no run of tithe; choose a new or empty folder with --out.")
    return None


@contextlib.contextmanager
def claimed(out: Path, record: dict[str, Any]) -> Iterator[None]:
    """Create `out` with its `run.json` and keep every other process out of it meanwhile.

    Raises:
        UsageError: `out` cannot be written (then nothing is left of it), or another process is training in it.
    """
    fresh = not out.exists()
    make_folder(out)
    with locked(out, "training"):
        try:
            write_json(out / RUN, record)
            for half in ("sparse", "dense"):
                if half == "sparse" or record["recipe"]["compare"] == "dense":
                    make_folder(out / half)
        except UsageError:
            if fresh:
                _take_back(out)
            raise
        yield


def _check_reachable(out: Path) -> None:
    """Say now, not after the data were loaded, that `out` can never be made."""
    parent = next((path for path in out.absolute().parents if path.exists()), Path("/"))
    if not parent.is_dir():
        raise UsageError(f"cannot create {out}: {parent} is a file; choose another folder with --out.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(f"cannot create {out}: {parent} is not writable; choose another folder with --out.")


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_bytes())
        assert {"data", "recipe"} <= record.keys()
    except (OSError, ValueError, AssertionError, AttributeError) as error:
        raise UsageError(f"{path} cannot be read or is damaged; move its folder away and train again.") from error
    return record


def _take_back(out: Path) -> None:
    for path in (out / RUN, out / "sparse", out / "dense", out):
        with contextlib.suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()
