"""Runs from the ledger: those for which all conditions hold, by the axis of the forecast."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tithe.cost import ledger, table
from tithe.cost.run import COLUMNS, Run, conditions
from tithe.errors import UsageError
from tithe.forecast.runs_table import Table

FIELDS = {"compute": "flop", "data": "examples", "parameters": "parameters"}
"""Axis -> field of a run."""


def read(path: Path, words: Sequence[str], axis: str, group: str | None = None) -> Table:
    """The finished runs that have an error and a size; how many others there were is counted.

    Raises:
        UsageError: a condition or the group is no field of a run, the ledger can't be read, or the runs are of several
            data sets, whose errors cannot be compared.
    """
    if group is not None and group not in COLUMNS:
        raise table.unknown("field", group, COLUMNS, "Give --group FIELD, such as --group half.")
    found = ledger.read(path, conditions(words))
    field = FIELDS[axis]
    kept = [run for run in found if run.error is not None and getattr(run, field) is not None]
    if not kept:
        raise UsageError(_nothing(path, words, found, field))
    if group != "data":
        _check_one_data_set(kept)
    years = [run.year for run in kept]
    return Table(
        [float(getattr(run, field)) for run in kept],
        [float(run.error) for run in kept if run.error is not None],
        None if group is None else [_named(getattr(run, group)) for run in kept],
        None if None in years else [float(year) for year in years if year is not None],
        [f"run {run.id}" for run in kept],
        len(found) - len(kept),
    )


def _nothing(path: Path, words: Sequence[str], found: list[Run], field: str) -> str:
    if found:
        return f"none of the {len(found)} runs has both an error and {field}; choose others with --runs."
    asked = f" that fit {' '.join(words)!r}" if words else ""
    return f"{path} holds no runs{asked}; tithe runs lists what is there, tithe train adds to it."


def _check_one_data_set(runs: list[Run]) -> None:
    names = sorted({run.data for run in runs if run.data is not None})
    if len(names) > 1:
        raise UsageError(
            f"the runs are of {len(names)} data sets ({', '.join(names[:5])}), whose errors cannot be compared; "
            f"add data={names[0]} to --runs, or --group data."
        )


def _named(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
