"""One run in the ledger, and which runs are asked for."""

from __future__ import annotations

import fnmatch
import math
import operator
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from tithe.cost import table
from tithe.errors import UsageError


@dataclass(frozen=True)
class Point:
    """Where a run was after an epoch."""

    epoch: int
    error: float | None  # on the test set
    loss: float | None  # nat, on the test set
    flop: float | None  # FLOP since the run began
    seconds: float | None  # since it began


@dataclass(frozen=True)
class Run:
    """One trained network: what it was, what it reached, what it took. What is not known is None."""

    run: str  # names the run; the two halves of a `tithe train` share it
    half: str  # "sparse", "dense", or "imported"
    finished: str  # UTC, ISO 8601
    status: str = "finished"  # or "diverged", or "stopped": a trial of `tithe tune` that went no further
    data: str | None = None
    model: str | None = None
    method: str | None = None
    group: str | None = None  # a family, of imported runs
    density: float | None = None  # weights that exist / logical weights
    seed: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    examples: int | None = None  # training examples
    parameters: float | None = None  # weights that exist
    logical_parameters: float | None = None
    error: float | None = None  # on the test set, after the last epoch, in (0, 1]
    loss: float | None = None  # nat
    flop: float | None = None  # of training
    seconds: float | None = None  # of training
    kwh: float | None = None
    kg_co2: float | None = None
    usd: float | None = None  # rent
    year: float | None = None
    machine: str | None = None
    version: str | None = None  # of tithe
    more: dict[str, Any] = field(default_factory=dict)  # recipe, versions, bill, plan, unknown columns
    curve: tuple[Point, ...] = ()
    id: int | None = None  # in the ledger it was read from

    def json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self) | {"curve": [asdict(point) for point in self.curve]}


KINDS = {entry.name: str(entry.type).split(" ")[0] for entry in fields(Run)}  # name -> "str", "int", "float" ...
NUMBERS = {name for name, kind in KINDS.items() if kind in ("int", "float")}
COLUMNS = tuple(entry.name for entry in fields(Run) if entry.name not in ("id", "curve", "more"))
"""What a table of runs has."""

Condition = Callable[[Run], bool]
_SHAPE = re.compile(r"^\s*(\w+)\s*(<=|>=|!=|=|<|>|~)\s*(.*?)\s*$")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def conditions(words: str | Iterable[str]) -> list[Condition]:
    """What `data=mnist model~lenet* density<=0.1` asks for: all of it must hold; a field that is unknown never holds.

    Raises:
        UsageError: a word is no condition, names no field, or compares a number with a word.
    """
    return [_condition(word) for word in (shlex.split(words) if isinstance(words, str) else words)]


def chosen(runs: Iterable[Run], wanted: Sequence[Condition]) -> list[Run]:
    """The runs for which all conditions hold."""
    return [run for run in runs if all(holds(run) for holds in wanted)]


def _condition(word: str) -> Condition:
    found = _SHAPE.match(word)
    if not found:
        raise UsageError(f"{word!r} is no condition: write FIELD=VALUE, or !=, <, <=, >, >=, ~ for a pattern with *.")
    name, sign, value = found.groups()
    known = ["id", *COLUMNS]
    if name not in known:
        raise table.unknown("field", name, known, "Conditions look like data=mnist or density<=0.1.")
    if sign == "~":
        return lambda run: fnmatch.fnmatch(str(getattr(run, name) or "").lower(), value.lower())
    if name in NUMBERS:
        wanted, compare = _number(word, value), _COMPARE[sign]
        return lambda run: getattr(run, name) is not None and compare(getattr(run, name), wanted)
    compare = _COMPARE[sign]
    return lambda run: getattr(run, name) is not None and compare(getattr(run, name).lower(), value.lower())


def _number(word: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise UsageError(f"{word!r} compares a number with {value!r}: give a number, such as 0.1 or 1e9.")
    return number
