"""Other people's runs, from a CSV file with a line a run."""

from __future__ import annotations

import csv
import datetime
import hashlib
import math
from collections.abc import Mapping
from pathlib import Path

from tithe.cost import table
from tithe.cost.run import COLUMNS, KINDS, NUMBERS, Run
from tithe.errors import UsageError

ACCURACY = "accuracy"  # 1 - error
FIELDS = (*(name for name in COLUMNS if name not in ("run", "half", "status", "finished")), ACCURACY)
SPELLINGS = {  # how else a field may be called, in small letters
    "test_accuracy": ACCURACY,
    "test_error": "error",
    "compute": "flop",
    "flops": "flop",
    "training_flop": "flop",
    "params": "parameters",
    "nnz": "parameters",
    "dataset": "data",
    "name": "model",
    "family": "group",
    "co2": "kg_co2",
    "n_train": "examples",
}
_NOTHING = ("", "-", "na", "n/a", "nan", "none", "null")


def read(path: Path, columns: Mapping[str, str], percent: bool = False) -> list[Run]:
    """The runs of the file; what is no field of a run is kept with it, under its column's name.

    Args:
        path: a CSV file whose first line names its columns.
        columns: {field: column} where a column is not called as the field is.
        percent: errors and accuracies are in percent.

    Raises:
        UsageError: the file cannot be read, a column or field is unknown, a value is out of range; lines are named.
    """
    header, lines, content = _read(path)
    wanted = _columns(header, columns)
    if not {"error", ACCURACY} & set(wanted.values()):
        raise table.unknown(
            "column", "error", header, "Each run needs its error: give --column error=COLUMN, or accuracy=COLUMN."
        )
    identity = hashlib.sha256(content).hexdigest()
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return [_run(f"{identity}:{number}", now, path, number, line, wanted, percent) for number, line in lines]


def _read(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]], bytes]:
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text in UTF-8; save it as CSV in UTF-8.") from error
    reader = csv.DictReader(text.splitlines())
    header = [name.strip() for name in reader.fieldnames or []]
    reader.fieldnames = header
    try:
        lines = [
            (reader.line_num, {k: (v or "").strip() for k, v in row.items() if isinstance(k, str)}) for row in reader
        ]
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num}: {error}; save it as CSV again.") from error
    if not lines:
        raise UsageError(f"{path} holds no runs: give a line with the columns' names and a line for each run.")
    return header, lines, content


def _columns(header: list[str], given: Mapping[str, str]) -> dict[str, str]:
    """{column: field}: what was given, and the columns that are called as a field is."""
    for name, column in given.items():
        if name not in FIELDS:
            raise table.unknown("field", name, FIELDS, "Give --column FIELD=COLUMN.")
        if column not in header:
            raise table.unknown("column", column, header, "Give --column FIELD=COLUMN, as the file spells it.")
    found = {column: field for field, column in given.items()}
    for column in header:
        called = column.lower().replace(" ", "_")
        field = called if called in FIELDS else SPELLINGS.get(called)
        if field and column not in found and field not in found.values():
            found[column] = field
    return found


def _run(
    uid: str, now: str, path: Path, number: int, line: dict[str, str], wanted: dict[str, str], percent: bool
) -> Run:
    known = {column: value for column, value in line.items() if value.lower() not in _NOTHING}
    values = {field: known[column] for column, field in wanted.items() if column in known}
    where = f"{path}, line {number}"
    numbers = {name: _number(where, name, values[name]) for name in values if name in NUMBERS or name == ACCURACY}
    error = _error(where, numbers, percent)
    numbers.pop(ACCURACY, None)
    words = {name: value for name, value in values.items() if name not in NUMBERS and name != ACCURACY}
    more = {column: value for column, value in known.items() if column not in wanted}
    return Run(uid, "imported", now, **(words | numbers | {"error": error}), more=more)  # type: ignore[arg-type]


def _error(where: str, numbers: dict[str, float], percent: bool) -> float:
    whole = 100 if percent else 1
    if "error" in numbers:
        error = numbers["error"] / whole
    elif ACCURACY in numbers:
        error = 1 - numbers[ACCURACY] / whole
    else:
        raise UsageError(f"{where} has no error; every run needs one: remove the line, or fill it in.")
    if not 0 < error <= 1:
        hint = "give --percent if errors are in percent" if not percent else "errors in percent lie above 0, up to 100"
        raise UsageError(f"{where}: an error of {error:g} is outside (0, 1]; {hint}, or mend the line.")
    return error


def _number(where: str, name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    positive = name in ("flop", "parameters", "seconds", "examples")
    if not math.isfinite(number) or (positive and number <= 0):
        allowed = "a finite number above 0" if positive else "a finite number"
        raise UsageError(f"{where}: {name} is {text!r}; it must be {allowed}: mend the line, or leave the field empty.")
    return int(number) if KINDS.get(name) == "int" else number
