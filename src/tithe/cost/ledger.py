"""The ledger: every run ever made, in one SQLite file to which rows are only added.

Triggers refuse to change or remove a row. A write is one transaction with SQLite's rollback journal, synced before it
counts: several processes may write at once (they wait for each other), and a kill -9 at any moment leaves either all of
a run or nothing. The journal, and not a write-ahead log, so that the ledger stays one file, also on a shared disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import platformdirs

from tithe.cost.run import COLUMNS, KINDS, Condition, Point, Run, chosen
from tithe.errors import UsageError

ENVIRONMENT = "TITHE_LEDGER"
OFF = ("off", "none", "")
APPLICATION_ID = 0x74697468  # "tith": SQLite keeps it in the file's header
VERSION = 1
SECONDS_TO_WAIT = 60.0  # for other writers

_TYPES = {"int": "INTEGER", "float": "REAL", "str": "TEXT"}
_POINT = ("epoch", "error", "loss", "flop", "seconds")
_SCHEMA = f"""
CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    {", ".join(f'"{name}" {_TYPES[KINDS[name]]}' for name in COLUMNS)},
    more TEXT NOT NULL,
    UNIQUE (run, half)
);
CREATE TABLE curves (
    run_id INTEGER NOT NULL REFERENCES runs (id),
    {", ".join(f"{name} REAL" for name in _POINT)},
    UNIQUE (run_id, epoch)
);
"""
_GUARD = """
CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""
# INSERT OR REPLACE removes the old row without asking the DELETE trigger, unless a connection wants it asked.
_NO_REPLACE = """
CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""
_SAME = {
    "runs": "id = NEW.id OR (run = NEW.run AND half = NEW.half)",
    "curves": "run_id = NEW.run_id AND epoch = NEW.epoch",
}


class LedgerError(UsageError):
    """The ledger cannot be read or written. The message is one sentence, as every UsageError's."""


def path() -> Path | None:
    """Where the ledger is: what TITHE_LEDGER says, or a file in the user's data directory; None if it is "off"."""
    given = os.environ.get(ENVIRONMENT)
    if given is None:
        return Path(platformdirs.user_data_dir("tithe", appauthor=False)) / "ledger.sqlite"
    return None if given.strip().lower() in OFF else Path(given).expanduser()


def add(ledger: Path, runs: Sequence[Run]) -> int:
    """Append the runs that are not there yet, all or none; how many were new. The file is made where there is none.

    Raises:
        LedgerError: it cannot be written, is damaged, or is no ledger of tithe.
    """
    with _explained(ledger, "written"):
        ledger.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(_connect(ledger, "rwc")) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            with connection:  # commits, or rolls back
                _prepare(connection, ledger)
                return sum(_insert(connection, run) for run in runs)


def read(ledger: Path, wanted: Sequence[Condition] = ()) -> list[Run]:
    """The runs for which all conditions hold, oldest first; none where there is no file yet.

    Raises:
        LedgerError: it cannot be read, is damaged, or is no ledger of tithe.
    """
    if not ledger.exists():
        return []
    with _explained(ledger, "read"), _reading(ledger) as connection:
        if _is_empty(connection):
            return []
        _check(connection, ledger)
        curves = _curves(connection)
        names = ("id", *COLUMNS, "more")
        rows = connection.execute(f"SELECT {_listed(names)} FROM runs ORDER BY id").fetchall()
        return chosen((_run(dict(zip(names, row, strict=True)), curves) for row in rows), wanted)


def _connect(ledger: Path, mode: str) -> sqlite3.Connection:
    uri = f"{ledger.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=SECONDS_TO_WAIT, isolation_level=None)


@contextlib.contextmanager
def _reading(ledger: Path) -> Iterator[sqlite3.Connection]:
    """A connection that could write where that is allowed: what a kill left half-written, the next one rolls back."""
    writable = os.access(ledger, os.W_OK) and os.access(ledger.parent, os.W_OK)
    with contextlib.closing(_connect(ledger, "rw" if writable else "ro")) as connection:
        connection.execute("PRAGMA query_only = ON")
        yield connection


def _prepare(connection: sqlite3.Connection, ledger: Path) -> None:
    """Make the tables in an empty file; refuse a file of somebody else."""
    if not _is_empty(connection):
        _check(connection, ledger)
        return
    guards = [_GUARD.format(table=table, verb=verb) for table in _SAME for verb in ("UPDATE", "DELETE")]
    guards += [_NO_REPLACE.format(table=table, same=same) for table, same in _SAME.items()]
    for statement in (*_SCHEMA.strip().split(";\n"), *guards):
        if statement.strip():
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0


def _check(connection: sqlite3.Connection, ledger: Path) -> None:
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if owner != APPLICATION_ID:
        raise LedgerError(
            f"{ledger} is another program's SQLite file; set {ENVIRONMENT} to a file of tithe's own, or to off."
        )
    if version > VERSION:
        raise LedgerError(f"{ledger} was written by a newer tithe (format {version}); use that, or another file.")


def _insert(connection: sqlite3.Connection, run: Run) -> int:
    known = connection.execute("SELECT 1 FROM runs WHERE run = ? AND half = ?", (run.run, run.half)).fetchone()
    if known:
        return 0
    values = [*(getattr(run, name) for name in COLUMNS), json.dumps(run.more, allow_nan=False)]
    marks = ", ".join("?" * len(values))
    cursor = connection.execute(f"INSERT INTO runs ({_listed(COLUMNS)}, more) VALUES ({marks})", values)
    points = [(cursor.lastrowid, *asdict(point).values()) for point in run.curve]
    connection.executemany(f"INSERT INTO curves (run_id, {', '.join(_POINT)}) VALUES (?, ?, ?, ?, ?, ?)", points)
    return 1


def _curves(connection: sqlite3.Connection) -> dict[int, list[Point]]:
    found: dict[int, list[Point]] = {}
    for run_id, epoch, *rest in connection.execute(f"SELECT run_id, {', '.join(_POINT)} FROM curves ORDER BY 1, 2"):
        found.setdefault(run_id, []).append(Point(int(epoch), *rest))
    return found


def _run(row: dict, curves: dict[int, list[Point]]) -> Run:
    return Run(**(row | {"more": json.loads(row["more"])}), curve=tuple(curves.get(row["id"], ())))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)  # "group" is a word of SQL


@contextlib.contextmanager
def _explained(ledger: Path, what: str) -> Iterator[None]:
    """What SQLite and the system say, in a sentence with a way out."""
    out = f"set {ENVIRONMENT} to another file, or to off"
    try:
        yield
    except sqlite3.DatabaseError as error:
        damaged = any(word in str(error) for word in ("not a database", "malformed", "corrupt", "no such table"))
        if damaged:
            raise LedgerError(
                f"{ledger} is damaged or is no ledger of tithe ({error}); move it away, or {out}."
            ) from error
        raise LedgerError(f"{ledger} cannot be {what} ({error}); {out}.") from error
    except (OSError, json.JSONDecodeError) as error:
        raise LedgerError(f"{ledger} cannot be {what} ({getattr(error, 'strerror', None) or error}); {out}.") from error
