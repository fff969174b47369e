"""Runs from a CSV file: which columns, which lines, and one sentence where they can't be read."""

from __future__ import annotations

import csv
import difflib
import math
import re
from pathlib import Path

from tithe.errors import UsageError
from tithe.forecast.runs_table import Table

RECORD = "imagenet"
"""What stands for the published record where a file's name is expected."""

_MISSING = {"", "nan", "na", "n/a", "none", "null", "-"}
_WITH_UNIT = re.compile(r"^\s*[-+]?[\d.,]+(e[-+]?\d+)?\s*[a-zµ%/]", re.IGNORECASE)


def read(
    path: Path,
    compute: str,
    error: str,
    group: str | None = None,
    year: str | None = None,
    skip_missing: bool = False,
) -> Table:
    """The columns named, of a CSV file with one line of names (comma, semicolon or tab between them).

    Raises:
        UsageError: the file can't be read, has no such column, or a cell is no number; the sentence names the line.
    """
    names, rows = _rows(path)
    for name in filter(None, (compute, error, group, year)):
        _check_column(path, names, name)
    numeric = [name for name in (compute, error, year) if name]
    missing = [line for line, row in rows if any(_missing(row[name]) for name in numeric)]
    if missing and not skip_missing:
        raise UsageError(
            f"{path}: {_lines(missing)} no number in {' or '.join(map(repr, numeric))}; "
            "fill them in, or leave such lines out with --skip-missing."
        )
    kept = [(line, row) for line, row in rows if line not in set(missing)]
    columns = {name: _numbers(path, name, [(line, row[name]) for line, row in kept]) for name in numeric}
    return Table(
        columns[compute],
        columns[error],
        [row[group].strip() for _, row in kept] if group else None,
        columns[year] if year else None,
        [f"line {line}" for line, _ in kept],  # of the file, the header being line 1
        len(rows) - len(kept),
    )


def columns(path: Path) -> list[str]:
    """The names of the file's columns. Raises UsageError where it is no CSV file."""
    return _rows(path)[0]


def _instead(path: Path) -> str:
    """What to give where there is no such file; the published record may just have been misspelt."""
    if difflib.get_close_matches(str(path).lower(), [RECORD], cutoff=0.75):
        return f"did you mean {RECORD}?"
    return f"give a CSV file, or {RECORD}."


def _rows(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Column names, and each row with its line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as problem:
        raise UsageError(
            f"cannot read {path}: {(problem.strerror or str(problem)).lower()}; {_instead(path)}"
        ) from problem
    except UnicodeDecodeError as problem:
        raise UsageError(f"{path} is no text in UTF-8; give a CSV file with one line of column names.") from problem
    first = text.partition("\n")[0]
    between = max(",;\t", key=first.count)
    reader = csv.DictReader(text.splitlines(), delimiter=between, restval="")
    names = [name.strip() for name in reader.fieldnames or []]
    if "\0" in text or not any(names):
        raise UsageError(f"{path} is no CSV file: its first line must hold the names of the columns.")
    reader.fieldnames = names
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as problem:
        raise UsageError(f"{path}, line {reader.line_num}, can't be read as CSV: {problem}.") from problem
    return names, [(line, row) for line, row in rows if any(str(cell).strip() for cell in row.values())]


def _check_column(path: Path, names: list[str], wanted: str) -> None:
    if wanted in names:
        return
    low = {name.lower(): name for name in names}
    near = [low[match] for match in difflib.get_close_matches(wanted.lower(), low, n=1, cutoff=0.5)]
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UsageError(f"{path} has no column {wanted!r}: {hint}Its columns are {', '.join(names)}.")


def _missing(cell: str) -> bool:
    return cell.strip().lower() in _MISSING


def _numbers(path: Path, name: str, cells: list[tuple[int, str]]) -> list[float]:
    """The column's numbers; a cell with a unit behind its number is told apart from other text."""
    numbers = []
    for line, cell in cells:
        try:
            numbers.append(float(cell))
        except ValueError as problem:
            raise _not_a_number(path, name, line, cell, cells) from problem
        if not math.isfinite(numbers[-1]):
            raise UsageError(f"{path}, line {line}: {name!r} is {cell.strip()}; give a finite number.")
    return numbers


def _not_a_number(path: Path, name: str, line: int, cell: str, cells: list[tuple[int, str]]) -> UsageError:
    if not _WITH_UNIT.match(cell):
        return UsageError(f"{path}, line {line}: {name!r} is {cell.strip()!r}, which is no number; correct it.")
    plain = next((other for other in cells if _is_number(other[1])), None)
    mixed = f"mixed units: {name!r} is {cell.strip()!r} in line {line}"
    if plain:
        return UsageError(
            f"{path}, {mixed} and {plain[1].strip()!r} in line {plain[0]}; write plain numbers in one unit."
        )
    return UsageError(
        f"{path}, line {line}: {name!r} is {cell.strip()!r}; write plain numbers, all of them in one unit."
    )


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _lines(lines: list[int]) -> str:
    """line 4 has; lines 4, 5 and 9 have; lines 4, 5, 6, 7, 8 and 3 more have."""
    if len(lines) == 1:
        return f"line {lines[0]} has"
    named, more = lines[:5], len(lines) - 5
    if more > 0:
        return f"lines {', '.join(map(str, named))} and {more} more have"
    return f"lines {', '.join(map(str, named[:-1]))} and {named[-1]} have"
