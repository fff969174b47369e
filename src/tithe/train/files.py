"""Writing files so that a reader never sees half of one, whatever kills the writer."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tithe.errors import UsageError


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: temporary file, fsync, rename, fsync of the folder.

    A kill at any moment leaves either the old file or the new one. The temporary name is fixed, so what a
    kill leaves behind is overwritten by the next attempt.

    Raises:
        UsageError: the folder cannot be written or the disk is full; the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        _write_synced(temporary, content)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        remove_quietly(temporary)
        raise _cannot_write(path, error) from error
    except BaseException:  # Ctrl-C in the middle: leave nothing half-written
        remove_quietly(temporary)
        raise


def write_json(path: Path, content: Any) -> None:
    """`write_atomically` for a JSON document; NaN and infinity are refused, they are not JSON."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_atomically(path, text.encode())


def write_json_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """`write_atomically` for one JSON object a line."""
    text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    write_atomically(path, text.encode())


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents.

    Raises:
        UsageError: it cannot be created, or a file is in the way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error


@contextlib.contextmanager
def locked(folder: Path, doing: str = "at work") -> Iterator[None]:
    """Keep every other process that asks for it out of `folder` meanwhile; a kill unlocks it.

    Raises:
        UsageError: another process has it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"another process is {doing} in {folder}; wait for it or choose another folder with --out."
            ) from error
        yield
    finally:
        os.close(handle)  # unlocks


def remove_quietly(path: Path) -> None:
    """Remove `path` if it can be removed; used where an earlier error matters more than this one."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _cannot_write(path: Path, error: OSError) -> UsageError:
    reason = (error.strerror or str(error)).lower()
    return UsageError(f"cannot write {path}: {reason}; free some space or choose another folder with --out.")
