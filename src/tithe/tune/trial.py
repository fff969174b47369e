"""One trial: a run of `tithe train` on the training set without its validation part, as far as it is worth it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tithe.cost.bill import Bill
from tithe.errors import Diverged
from tithe.train.files import make_folder, write_json
from tithe.train.loop import StoppedEarly, Tick, Training
from tithe.train.run import Job, run
from tithe.tune.study import Judge, library

OUTCOME = "trial.json"
Ended = Literal["finished", "stopped", "diverged"]
BILLED = ("flop", "seconds", "kwh", "kg_co2", "usd", "usd_electricity")


@dataclass(frozen=True)
class Outcome:
    """What became of a trial, and what it took."""

    number: int
    params: dict[str, float]
    recipe: dict[str, Any]  # the fields that it changed
    ended: Ended
    error: float | None  # on the validation part, after the last epoch; None where it diverged
    epochs: int  # finished ones
    flop: int  # of training
    seconds: float  # of training, finished epochs
    peak_bytes: int
    bill: dict[str, Any]  # {name: Figure.json}, evaluation and checkpoints included; empty: not known
    curve: list[dict[str, Any]] = field(default_factory=list)  # an epoch each: error, flop, seconds so far

    @property
    def finished(self) -> bool:
        """Whether it went to its end."""
        return self.ended == "finished"

    def spent(self, cost: str) -> float:
        """FLOP, or the seconds of the bill."""
        if cost == "flop":
            return float(self.flop)
        return float(self.bill["seconds"]["value"]) if self.bill else self.seconds

    def says(self) -> str:
        """For people: error 2.11 %, 3.2 s."""
        if self.error is None:
            return f"diverged in epoch {self.epochs + 1}"
        early = "" if self.finished else f", stopped after {self.epochs} epoch{'s'[: self.epochs > 1]}"
        return f"error {100 * self.error:.2f} %, {self.spent('seconds'):.1f} s{early}"


def recorded(folder: Path) -> Outcome | None:
    """The outcome in a trial's folder, if it has ended."""
    path = folder / OUTCOME
    return Outcome(**json.loads(path.read_bytes())) if path.exists() else None


def do(
    job: Job,
    judge: Judge,
    number: int,
    params: dict[str, float],
    changed: dict[str, Any],
    watch: Callable[[Tick], None],
) -> Outcome:
    """Do a trial, or what is left of it; its outcome, as written to its folder."""
    seen: list[Training] = []

    def before_epoch(training: Training) -> None:
        seen[:] = [training]
        if judge.stops(training.history):
            raise StoppedEarly

    ended: Ended = "finished"
    try:
        report = run(job, watch, before_epoch=before_epoch)
        judge.note(report["sparse"]["history"])
        outcome = _of_report(report["sparse"], number, params, changed)
    except (StoppedEarly, Diverged) as end:
        ended = "diverged" if isinstance(end, Diverged) else "stopped"
        outcome = _of_training(seen[0], ended, number, params, changed)
    make_folder(job.out)
    write_json(job.out / OUTCOME, asdict(outcome))
    return outcome


def tell(study: Any, judge: Judge, outcome: Outcome) -> None:
    """Write into the study how a trial ended."""
    if outcome.finished:
        study.tell(judge.trial.number, outcome.error)
        return
    if outcome.ended == "diverged":
        judge.diverged()
    study.tell(judge.trial.number, state=library().trial.TrialState.PRUNED)


def _of_report(half: dict[str, Any], number: int, params: dict[str, float], changed: dict[str, Any]) -> Outcome:
    return Outcome(
        number,
        params,
        changed,
        "finished",
        error=1 - half["accuracy"],
        epochs=half["epochs"],
        flop=half["training_flop"],
        seconds=half["seconds"],
        peak_bytes=half["peak_bytes"],
        bill=billed(half["bill"]),
        curve=_curve(half["history"]),
    )


def _of_training(
    training: Training, ended: Ended, number: int, params: dict[str, float], changed: dict[str, Any]
) -> Outcome:
    bill: Bill | None = training.spending.bill()
    return Outcome(
        number,
        params,
        changed,
        ended,
        error=1 - training.history[-1]["accuracy"] if ended == "stopped" else None,
        epochs=training.epoch,
        flop=training.flop.total,
        seconds=training.seconds,
        peak_bytes=training.peaks.highest.total,
        bill=billed(None if bill is None else bill.json()),
        curve=_curve(training.history),
    )


def billed(bill: Mapping[str, Any] | None) -> dict[str, Any]:
    """Of a bill's figures those that a tuning adds up; of no bill none."""
    return {name: bill[name] for name in BILLED if bill[name] is not None} if bill else {}


def _curve(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "epoch": row["epoch"],
            "error": 1 - row["accuracy"],
            "flop": row["training_flop"],
            "seconds": row["seconds"],
        }
        for row in history
    ]
