"""A comparison's folder and its plan: what is compared, written down before the first run and never changed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tithe
from tithe.compare.budget import Budget
from tithe.compare.tactics import Tactic
from tithe.train.files import locked, make_folder, write_json
from tithe.train.recorded import check_same as refuse_other
from tithe.train.recorded import recorded as recorded_in

FORMAT = 1
PLAN = "compare.json"
RUNS, PILOTS = "runs", "pilots"


@dataclass(frozen=True)
class Plan:
    """What is compared. The prices and the number of inferences are no part of it: they need no new run."""

    data: str  # as `tithe.train.data.load` takes it
    data_dir: str | None
    sha256: str  # of the data
    options: dict[str, Any]  # fields of the recipe that were given
    tactics: tuple[Tactic, ...]
    left_out: dict[str, str]  # name of a tactic -> why it cannot be tried
    seeds: int
    budget: Budget

    def json(self) -> dict[str, Any]:
        """As the plan's file has it."""
        content = asdict(self) | {"tactics": [asdict(tactic) for tactic in self.tactics]}
        return {"format": FORMAT, "tithe": tithe.__version__} | content

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Plan:
        """What `json` wrote."""
        names = ("data", "data_dir", "sha256", "options", "left_out", "seeds")
        tactics = tuple(Tactic(**each) for each in content["tactics"])
        return cls(**{n: content[n] for n in names}, tactics=tactics, budget=Budget(**content["budget"]))


def recorded(out: Path) -> Plan | None:
    """The plan in `out`, or None where a new comparison may begin. Writes nothing.

    Raises:
        UsageError: `out` is a file, holds something else, or its plan cannot be read.
    """
    return recorded_in(out, PLAN, "a comparison", Plan.from_json)


def check_same(out: Path, before: Plan, now: Plan) -> None:
    """Refuse to go on with another plan than the recorded one.

    Raises:
        UsageError: they differ; the message says in what first.
    """
    refuse_other(out, "a comparison", _compared(before, now))


def _compared(before: Plan, now: Plan) -> Iterator[tuple[str, Any, Any]]:
    yield "the data", before.data, now.data
    if before.sha256 != now.sha256:
        yield "other contents of the data", before.sha256[:12], now.sha256[:12]
    yield "methods", _listed(before), _listed(now)
    yield "seeds", before.seeds, now.seeds
    yield "the budget", before.budget.says(), now.budget.says()
    for name in sorted(before.options.keys() | now.options.keys()):
        yield name.replace("_", " "), before.options.get(name, "unset"), now.options.get(name, "unset")


def _listed(plan: Plan) -> str:
    return ", ".join(sorted([*plan.left_out, *(tactic.name for tactic in plan.tactics)]))


@contextlib.contextmanager
def claimed(out: Path, plan: Plan) -> Iterator[None]:
    """Create `out` with its plan and keep every other comparison out of it meanwhile.

    Raises:
        UsageError: `out` cannot be written, or another process is at work in it.
    """
    make_folder(out)
    with locked(out):
        if not (out / PLAN).exists():
            write_json(out / PLAN, plan.json())
        for name in (RUNS, PILOTS):
            make_folder(out / name)
        yield
