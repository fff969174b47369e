"""A tuning's folder and its plan: what is tuned, written down before the first trial.

Only how long it goes on, trials and budget, may be changed later."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import tithe
from tithe.train.files import locked, make_folder, write_json
from tithe.train.recorded import check_same as refuse_other
from tithe.train.recorded import recorded as recorded_in
from tithe.tune.space import Param

FORMAT = 1
PLAN, STUDY, TRIALS = "tune.json", "study.sqlite", "trials"

Cost = Literal["flop", "seconds"]


@dataclass(frozen=True)
class Plan:
    """What is tuned, and for how long."""

    data: str  # as `tithe.train.data.load` takes it
    data_dir: str | None
    sha256: str  # of the data
    options: dict[str, Any]  # fields of the recipe that were given, all trials alike
    space: tuple[Param, ...]
    cost: Cost  # what decides how far a trial has come
    validation: float  # fraction of the training set on which errors are measured
    trials: int  # how many at most; this and the budget may differ later
    budget: tuple[str, float] | None  # "flop" or "seconds", and how many all trials together may take
    within: float | None = None  # fraction of the model's weights that a trial's dense network may have; None: no limit

    def json(self) -> dict[str, Any]:
        """As the plan's file has it."""
        return {"format": FORMAT, "tithe": tithe.__version__} | asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Plan:
        """What `json` wrote."""
        names = ("data", "data_dir", "sha256", "options", "cost", "validation", "trials", "within")
        params = tuple(Param(**each) for each in content["space"])
        budget = tuple(content["budget"]) if content["budget"] else None
        return cls(**{n: content[n] for n in names}, space=params, budget=budget)


def recorded(out: Path) -> Plan | None:
    """The plan in `out`, or None where a new tuning may begin. Writes nothing.

    Raises:
        UsageError: `out` is a file, holds something else, or its plan cannot be read.
    """
    return recorded_in(out, PLAN, "a tuning", Plan.from_json)


def check_same(out: Path, before: Plan, now: Plan) -> None:
    """Refuse to go on with another plan than the recorded one.

    Raises:
        UsageError: they differ; the message says in what first.
    """
    refuse_other(out, "a tuning", _compared(before, now))


def _compared(before: Plan, now: Plan) -> Iterator[tuple[str, Any, Any]]:
    yield "the data", before.data, now.data
    if before.sha256 != now.sha256:
        yield "other contents of the data", before.sha256[:12], now.sha256[:12]
    for name in sorted((before.options.keys() | now.options.keys()) - {"threads"}):
        yield name.replace("_", " "), before.options.get(name, "unset"), now.options.get(name, "unset")
    yield "the ranges", _listed(before), _listed(now)
    yield "cost in", before.cost, now.cost
    yield "validation", before.validation, now.validation


def _listed(plan: Plan) -> str:
    return ", ".join(sorted(param.says() for param in plan.space))


@contextlib.contextmanager
def claimed(out: Path, plan: Plan) -> Iterator[None]:
    """Write the plan into `out`, which is made if need be, and keep every other tuning out of it meanwhile.

    Raises:
        UsageError: `out` cannot be written, or another process is at work in it.
    """
    make_folder(out)
    with locked(out):
        write_json(out / PLAN, plan.json())  # again: it may go on for longer than it was to
        make_folder(out / TRIALS)
        yield
