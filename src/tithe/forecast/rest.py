"""The rest of one run: from its epochs so far to its last one.

Two ways. Where the ledger has finished runs on the same data with the same epochs and learning-rate drops, the error
falls from here to the end as it fell in those: a ratio, whatever the network. Without such runs a curve over the
epochs is fitted, which cannot see a drop of the learning rate that is still to come.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tithe.cost.figure import Figure
from tithe.cost.run import Run
from tithe.errors import UsageError
from tithe.forecast.check import FEWEST_RUNS, Runs
from tithe.forecast.engine import mix
from tithe.forecast.loss import TYPICAL

FEWEST_PAST = 4
LEVEL = 0.9
PAST, CURVE = "past runs", "its own curve"


@dataclass(frozen=True)
class Progress:
    """How far one half of a run is."""

    half: str
    errors: list[float]  # after each epoch, fractions
    epochs: int  # planned
    drops: tuple[int, ...]  # epochs after which the learning rate drops
    seconds: float  # so far
    uid: str
    data: str  # sha256 of the data


@dataclass(frozen=True)
class Rest:
    """What the rest of it will bring."""

    progress: Progress
    error: Figure  # after the last epoch
    seconds: Figure  # still to go
    how: str  # `PAST` or `CURVE`
    caveat: str

    def json(self) -> dict[str, Any]:
        """Plain numbers and strings."""
        progress = self.progress
        return {
            "epoch": len(progress.errors),
            "epochs": progress.epochs,
            "error_now": progress.errors[-1],
            "error_at_the_end": self.error.json(),
            "seconds_to_go": self.seconds.json(),
            "from": self.how,
            "caveat": self.caveat,
        }


def read(folder: Path) -> list[Progress]:
    """Where the halves of the run in `folder` are.

    Raises:
        UsageError: it holds no run, or none of its halves has finished an epoch.
    """
    try:
        record = json.loads((folder / "run.json").read_bytes())
        recipe, uid, data = record["recipe"], record["uid"], record["data"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise UsageError(
            f"{folder} holds no run of tithe train; give its folder, a CSV file, or imagenet."
        ) from problem
    drops = tuple(math.ceil(fraction * recipe["epochs"]) for fraction in recipe["lr_drops"])
    found = []
    for half in ("sparse", "dense"):
        rows = _rows(folder / half / "metrics.jsonl")
        if rows:
            errors = [1 - row["accuracy"] for row in rows]
            found.append(Progress(half, errors, recipe["epochs"], drops, rows[-1]["seconds"], uid, data))
    if not found:
        raise UsageError(f"the run in {folder} has not finished an epoch; ask again when it has.")
    return found


def rest(progress: Progress, past: Sequence[Run]) -> Rest:
    """What the rest brings; `past` are runs of the ledger, whatever they are.

    Raises:
        UsageError: too few epochs and too few past runs to say.
    """
    done, left = len(progress.errors), progress.epochs - len(progress.errors)
    seconds = Figure(progress.seconds / done * left, "s", "modelled", source="seconds an epoch so far x epochs to go")
    if not left:
        return Rest(progress, Figure(max(progress.errors[-1], 0.0), "1", "measured"), seconds, CURVE, "It is finished.")
    ratios = [ratio for run in past if (ratio := _ratio(run, progress)) is not None]
    if len(ratios) >= FEWEST_PAST:
        return Rest(progress, _as_before(progress, np.log(ratios)), seconds, PAST, "")
    return Rest(progress, _along_the_curve(progress), seconds, CURVE, _caveat(progress))


def _rows(path: Path) -> list[dict[str, Any]]:
    """An epoch a row; of epochs that were repeated after an interruption the last, a torn last line left out."""
    rows: dict[int, dict[str, Any]] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for text in lines:
        try:
            row = json.loads(text)
        except ValueError:
            continue
        rows[row["epoch"]] = row
    return [rows[epoch] for epoch in sorted(rows)]


def _ratio(run: Run, progress: Progress) -> float | None:
    """By what the error of a finished run changed from this epoch to its end; None where it is no such run."""
    recipe, done = run.more.get("recipe") or {}, len(progress.errors)
    same = (
        run.status == "finished"
        and run.run != progress.uid
        and run.half == progress.half
        and run.more.get("data_sha256") == progress.data
        and recipe.get("epochs") == progress.epochs
        and tuple(math.ceil(fraction * progress.epochs) for fraction in recipe.get("lr_drops", ())) == progress.drops
    )
    here = next((point.error for point in run.curve if point.epoch == done), None) if same else None
    return run.error / here if here and run.error else None


def _as_before(progress: Progress, logs: np.ndarray) -> Figure:
    """The error now times the ratio of past runs; interval by Student's t for one more of them."""
    from scipy.special import stdtrit

    runs = len(logs)
    reach = logs.std(ddof=1) * math.sqrt(1 + 1 / runs) * float(stdtrit(runs - 1, (1 + LEVEL) / 2))
    value, low, high = (min(1.0, progress.errors[-1] * math.exp(logs.mean() + move)) for move in (0.0, -reach, reach))
    source = f"the error now x how it changed until the end in {runs} past runs"
    return Figure(value, "1", "modelled", low, high, source)


def _along_the_curve(progress: Progress) -> Figure:
    done = len(progress.errors)
    if done < FEWEST_RUNS or min(progress.errors) <= 0:
        raise UsageError(
            f"the {progress.half} half has finished {done} epochs; its curve needs {FEWEST_RUNS} with errors above 0, "
            f"or the ledger {FEWEST_PAST} finished runs like it: ask again later."
        )
    runs = Runs(np.arange(1.0, done + 1), np.array(progress.errors))
    _, _, mixture = mix(runs, TYPICAL, LEVEL, 0)
    x = np.log([progress.epochs / done])
    (low,), _, (high,) = mixture.errors(x, new_run=True)
    _, (value,), _ = mixture.errors(x)
    low, high = min(low, value), min(1.0, max(high, value))
    return Figure(float(value), "1", "modelled", float(low), float(high), "curve over its epochs")


def _caveat(progress: Progress) -> str:
    coming = [drop for drop in progress.drops if drop >= len(progress.errors)]
    if not coming:
        return ""
    after = " and ".join(map(str, coming))
    return f"The learning rate still drops after epoch {after}, where errors fall: expect less than this curve says."
