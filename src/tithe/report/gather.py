"""The runs that a report is about: named by their id in the ledger, or by the folder that a training wrote."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tithe.cost import ledger
from tithe.cost.run import Point, Run
from tithe.errors import UsageError
from tithe.train.outdir import REPORT, RUN

_LEAST_PREFIX = 4  # letters of a run's name; shorter ones are typed by mistake
_HALVES = ("sparse", "dense", "imported")


@dataclass(frozen=True)
class Story:
    """One run: its halves as the ledger has them, the sparse one first."""

    name: str  # what its owner calls it: an id, or a folder's name
    halves: tuple[Run, ...]

    @property
    def first(self) -> Run:
        """What the halves share is read from this one."""
        return self.halves[0]


def stories(words: Sequence[str]) -> list[Story]:
    """The runs that these words name, each once, in their order.

    Args:
        words: for each run an id in the ledger (a number of `tithe runs`), its name there or the beginning of it, or
            the folder that `tithe train` wrote.

    Raises:
        UsageError: a word names no run, or several; no word was given.
    """
    if not words:
        raise UsageError(
            "no run was given: name runs by their id (tithe runs lists them) or by the folder that tithe train wrote."
        )
    recorded: list[Run] | None = None
    found: dict[str, Story] = {}
    for word in words:
        if Path(word).exists():
            story = _of_folder(Path(word))
        else:
            recorded = _recorded(word) if recorded is None else recorded
            story = _of_ledger(word, recorded)
        found.setdefault(story.first.run, story)
    return list(found.values())


# ---- a folder


def _of_folder(path: Path) -> Story:
    folder = path if path.is_dir() else path.parent
    if path.is_file() and path.name != REPORT:
        raise UsageError(f"{path} is no run: give the folder that tithe train wrote, or an id of tithe runs.")
    if not (folder / REPORT).exists():
        if (folder / RUN).exists():
            raise UsageError(f"{folder} holds an unfinished run: finish it with tithe train --resume --out {folder}.")
        raise UsageError(f"{folder} holds no {REPORT}: give the folder that tithe train wrote, or an id of tithe runs.")
    try:
        report = json.loads((folder / REPORT).read_bytes())
        halves = [_half(report, half) for half in ("sparse", "dense") if report.get(half)]
        assert halves
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise UsageError(f"{folder / REPORT} cannot be read or is damaged; train again into another folder.") from error
    uid = _uid(folder)
    return Story(folder.resolve().name, tuple(Run(run=uid, **half) for half in halves))


def _uid(folder: Path) -> str:
    """The run's name in the ledger; runs of versions without a ledger have none."""
    try:
        return str(json.loads((folder / RUN).read_bytes())["uid"])
    except (OSError, ValueError, KeyError, TypeError):
        return str(folder.resolve())


def _half(report: Mapping[str, Any], half: str) -> dict[str, Any]:
    """A half of `report.json` as fields of a Run."""
    figures, recipe, data = report[half], report["recipe"], report["data"]
    return {
        "half": half,
        "finished": "",
        "data": data["name"],
        "model": report["model"],
        "method": report["method"] if half == "sparse" else "dense",
        "density": figures["density"],
        "seed": recipe.get("seed"),
        "epochs": figures["epochs"],
        "batch_size": recipe.get("batch_size"),
        "examples": data.get("n_train"),
        "parameters": figures["nnz"],
        "logical_parameters": figures["logical_weights"],
        "error": 1 - figures["accuracy"],
        "loss": figures["loss"],
        "flop": figures["training_flop"],
        "seconds": figures["seconds"],
        "machine": report["machine"].get("processor"),
        "version": report["tithe"],
        "more": {
            "recipe": recipe,
            "machine": report["machine"],
            "data_sha256": data.get("sha256"),
            "bill": figures.get("bill"),
            "plan": figures.get("plan"),
            "test_examples": data.get("n_test"),
            "training_memory": {name: figures[name] for name in ("steady_bytes", "peak_bytes", "weight_bytes")},
            "layers": figures["layers"],
        },
        "curve": tuple(_point(row) for row in figures["history"]),
    }


def _point(row: Mapping[str, Any]) -> Point:
    return Point(row["epoch"], 1 - row["accuracy"], row["test_loss"], row["training_flop"], row["seconds"])


# ---- the ledger


def _recorded(word: str) -> list[Run]:
    where = ledger.path()
    if where is None:
        raise UsageError(
            f"there is no folder {word}, and the ledger is switched off; give the folder that tithe train wrote, or "
            f"unset {ledger.ENVIRONMENT}."
        )
    runs = ledger.read(where)
    if not runs:
        raise UsageError(f"there is no folder {word}, and no run in {where} yet: tithe train makes one.")
    return runs


def _of_ledger(word: str, runs: Iterable[Run]) -> Story:
    runs = list(runs)
    named = {run.run for run in runs if str(run.id) == word or run.run == word}
    if not named and len(word) >= _LEAST_PREFIX:
        named = {run.run for run in runs if run.run.startswith(word.lower())}
    if not named:
        raise _unknown(word, runs)
    if len(named) > 1:
        meant = ", ".join(sorted(named)[:4])
        raise UsageError(f"{word} is the beginning of {len(named)} runs ({meant}): give more of it, or an id.")
    halves = sorted((run for run in runs if run.run in named), key=lambda run: _HALVES.index(run.half))
    return Story(str(halves[0].id), tuple(halves))


def _folders_beside(path: Path) -> set[str]:
    """Folders with a run that stand where this one was looked for."""
    try:
        return {str(found.parent) for found in path.parent.glob(f"*/{REPORT}")}
    except OSError:
        return set()


def _unknown(word: str, runs: Sequence[Run]) -> UsageError:
    """With the nearest names and folders, or the newest runs where none is near; a number is near no other."""
    names = {run.run[: max(len(word), _LEAST_PREFIX)] for run in runs} | _folders_beside(Path(word))
    near = [] if word.isdigit() else difflib.get_close_matches(word, sorted(names), n=3, cutoff=0.6)
    newest = ", ".join(f"{run.id} ({run.half} {run.model} on {run.data})" for run in reversed(runs[-3:]))
    hint = f"did you mean {' or '.join(near)}?" if near else f"the newest are {newest}."
    return UsageError(f"there is no folder and no run {word!r}: {hint} tithe runs lists them all.")
