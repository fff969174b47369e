"""Measurements that are done once: each becomes a line of a file, so a study that was stopped goes on."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tithe
from tithe import human
from tithe.errors import UsageError
from tithe.train.files import write_atomically
from tithe.train.watch import Watch

MEASURED = "measured.jsonl"


class Kept:
    """The measurements of one study.

    Args:
        folder: of the study; exists.
        watch: is told how things go. A study that trains through `tithe.compare.execute` hands it on.

    Raises:
        UsageError: what an earlier run wrote is damaged in its middle.
    """

    def __init__(self, folder: Path, watch: Watch) -> None:
        self.folder, self.watch = folder, watch
        self._path = folder / MEASURED
        self._found = _read(self._path)

    def measure(self, todo: Mapping[str, Callable[[], Any]], what: str = "measurements") -> dict[str, Any]:
        """The answers by name; those that are known already are not measured again.

        Args:
            todo: name -> what measures it and answers as JSON holds it. The name must hold all that decides the
                answer, seeds and sizes: the same name is the same measurement.
            what: they are, in the plural.
        """
        self.watch.begin(what, list(todo), sum(name in self._found for name in todo))
        for name, measure in todo.items():
            if name not in self._found:
                start = time.perf_counter()
                self._keep(name, measure())
                self.watch.end(name, human.duration(time.perf_counter() - start))
        return {name: self._found[name] for name in todo}

    def _keep(self, name: str, answer: Any) -> None:
        line = json.dumps({"tithe": tithe.__version__, "name": name, "answer": answer}, allow_nan=False)
        with self._path.open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._found[name] = json.loads(line)["answer"]  # as it will be read: resumed equals uninterrupted


def _read(path: Path) -> dict[str, Any]:
    """What an earlier run of this version measured; a last line that a kill has cut is cut off."""
    if not path.exists():
        return {}
    *lines, torn = path.read_text().split("\n")
    if torn:
        write_atomically(path, "".join(line + "\n" for line in lines).encode())
    try:
        entries = [json.loads(line) for line in lines]
        return {entry["name"]: entry["answer"] for entry in entries if entry["tithe"] == tithe.__version__}
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is damaged; delete it, or choose another folder with --out.") from error
