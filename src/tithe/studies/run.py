"""The job of `tithe study`: its folder, the study, and what is written of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tithe
from tithe.errors import UsageError
from tithe.studies.kept import Kept
from tithe.studies.registry import STUDIES, find
from tithe.studies.study import Asked, Study
from tithe.train.files import locked, make_folder, write_atomically, write_json
from tithe.train.recorded import recorded
from tithe.train.results import machine
from tithe.train.watch import Watch

ASKED, RESULT = "asked.json", "study.json"
FORMAT = 1
MOST_SEEDS = 1000


def run(asked: Asked, watch: Watch) -> dict[str, Any]:
    """Do the study, or what is left of it; what came out, as written to `study.json`.

    Raises:
        UsageError: something that was asked for is not possible, or data are missing.
    """
    entry = find(asked.name)
    _check(asked)
    with claimed(asked):
        found = entry.study(asked, Kept(asked.out, watch))
        content = _content(asked, found)
        for table in found.tables:
            write_atomically(asked.out / f"{table.name}.csv", table.csv().encode())
        write_json(asked.out / RESULT, content)
        return content


def _content(asked: Asked, found: Study) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "tithe": tithe.__version__,
        "study": asked.name,
        "quick": asked.quick,
        "line": STUDIES[asked.name].line,
        "claims": [claim.json() for claim in found.claims],
        "tables": {table.name: table.json() for table in found.tables},
        "pictures": [path.name for path in found.pictures],
        "notes": list(found.notes),
        "setting": dict(found.setting),
        "machine": machine(),
    }


def _check(asked: Asked) -> None:
    if asked.seeds is not None and not 2 <= asked.seeds <= MOST_SEEDS:
        raise UsageError(
            f"--seeds {asked.seeds} is not possible: give from 2 to {MOST_SEEDS}; one seed has no interval."
        )


@contextlib.contextmanager
def claimed(asked: Asked) -> Iterator[None]:
    """Create the study's folder and keep every other process out of it meanwhile.

    Raises:
        UsageError: it is a file, holds something else, cannot be written, or another process is at work in it.
    """
    _check_folder(asked)
    made = [folder for folder in (asked.out, *asked.out.parents) if not folder.exists()]
    fresh = not (asked.out / ASKED).exists()
    make_folder(asked.out)
    with locked(asked.out):
        write_json(asked.out / ASKED, {"study": asked.name})
        try:
            yield
        except UsageError:
            if fresh:
                _take_back(asked.out, made)
            raise


def _check_folder(asked: Asked) -> None:
    before = recorded(asked.out, ASKED, "a study", lambda content: content["study"])
    if before not in (None, asked.name):
        raise UsageError(f"{asked.out} holds the study {before}, not {asked.name}; choose another folder with --out.")


def _take_back(out: Path, made: list[Path]) -> None:
    """What was refused before anything was measured leaves no folder behind that it `made`."""
    if [path.name for path in out.iterdir()] == [ASKED]:
        (out / ASKED).unlink()
        with contextlib.suppress(OSError):  # somebody has put something there meanwhile
            for folder in made:
                folder.rmdir()
