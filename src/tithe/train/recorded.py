"""The folder of work that can be gone on with: what its plan says, and that nobody goes on with another one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from tithe.errors import UsageError

T = TypeVar("T")


def recorded(out: Path, file: str, what: str, read: Callable[[Any], T]) -> T | None:
    """The plan in `out`, or None where a new one may begin. Writes nothing.

    Args:
        out: the folder.
        file: the plan's, JSON.
        what: "a comparison", for errors.
        read: takes what the file holds.

    Raises:
        UsageError: `out` is a file, holds something else, or its plan cannot be read.
    """
    if not out.exists():
        return None
    if not out.is_dir():
        raise UsageError(f"--out {out} is a file; name a folder that is new, empty or holds {what} to go on with.")
    if not (out / file).exists():
        if any(not path.name.startswith(".") for path in out.iterdir()):
            kind = what.split()[-1]
            raise UsageError(f"{out} holds other files and no {kind}; choose a new or empty folder with --out.")
        return None
    try:
        return read(json.loads((out / file).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{out / file} cannot be read, is damaged or of another version of tithe; choose another folder with --out."
        ) from error


def check_same(out: Path, what: str, compared: Iterable[tuple[str, Any, Any]]) -> None:
    """Refuse to go on with another plan than the recorded one.

    Args:
        out: the folder.
        what: "a comparison", for the error.
        compared: name, recorded value, value asked for.

    Raises:
        UsageError: they differ; the message says in what first.
    """
    for name, old, new in compared:
        if old != new:
            raise UsageError(
                f"{out} holds {what} with {name} {old}, not {new}; give the same, or choose another folder with --out."
            )
