"""The ledger only grows, whoever writes, however they end."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tithe.cost import ledger
from tithe.cost.ledger import LedgerError
from tithe.cost.run import Point, Run, conditions

WRITER = """
import sys
from pathlib import Path
from tithe.cost import ledger
from tithe.cost.run import Point, Run

path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for number in range(count):
    curve = tuple(Point(epoch, 0.1, 1.0, 1e6 * epoch, 0.1 * epoch) for epoch in range(1, 41))
    run = Run(f"{name}-{number}", "sparse", "2026-01-01T00:00:00+00:00", error=0.1, curve=curve)
    assert ledger.add(path, [run]) == 1
    print(number, flush=True)
"""


def _run(name: str = "a", half: str = "sparse", **fields) -> Run:
    return Run(name, half, "2026-01-01T00:00:00+00:00", **fields)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "ledger.sqlite"


def test_what_is_added_is_read_again(path):
    run = _run(
        *("a", "dense"),
        **{"data": "mnist", "seed": 2**63 - 1, "error": 0.0123456789, "flop": 1.5e18, "group": "b", "epochs": 2},
        more={"recipe": {"lr": 0.1}, "é": [None, "ü"]},
        curve=(Point(1, 0.5, 2.0, 1e9, 0.25), Point(2, None, None, 2e9, 0.5)),
    )
    assert ledger.read(path) == []
    assert ledger.add(path, [run, _run("b")]) == 2
    found = ledger.read(path)
    assert [each.id for each in found] == [1, 2]
    assert {**found[0].json(), "id": None} == run.json()
    assert (found[0].seed, type(found[0].seed)) == (2**63 - 1, int)
    assert found[1].curve == ()


def test_a_run_is_added_once(path):
    assert ledger.add(path, [_run(error=0.1)]) == 1
    assert ledger.add(path, [_run(error=0.2), _run(half="dense")]) == 1
    assert [run.error for run in ledger.read(path)] == [0.1, None]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE runs SET error = 0",
        "DELETE FROM runs",
        "INSERT OR REPLACE INTO runs (id, run, half, finished, more) VALUES (1, 'x', 'y', 'z', '{}')",
        "INSERT OR REPLACE INTO runs (run, half, finished, more) VALUES ('a', 'sparse', 'z', '{}')",
        "UPDATE curves SET error = 0",
        "DELETE FROM curves",
        "INSERT OR REPLACE INTO curves (run_id, epoch) VALUES (1, 1)",
    ],
)
def test_rows_can_be_neither_changed_nor_removed(path, statement):
    ledger.add(path, [_run(error=0.1, curve=(Point(1, 0.1, 1.0, 1.0, 1.0),))])
    before = ledger.read(path)
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    connection.close()
    assert ledger.read(path) == before


def test_all_or_nothing(path):
    with pytest.raises((LedgerError, ValueError)):
        ledger.add(path, [_run("a"), _run("b", more={"not json": float("nan")})])
    assert ledger.read(path) == []


def _start(path: Path, name: str, count: int) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)], stdout=subprocess.PIPE, text=True
    )


def test_several_processes_write_at_once_and_nothing_is_lost(path):
    """They also all make the file: none is there before."""
    writers = [_start(path, f"writer{number}", 15) for number in range(4)]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * 4
    runs = ledger.read(path)
    assert len(runs) == 60
    assert {len(run.curve) for run in runs} == {40}
    assert [run.id for run in runs] == list(range(1, 61))
    for writer in writers:
        writer.stdout.close()


def test_kill_9_at_any_moment_leaves_whole_runs_only(path):
    dice = random.Random(0)
    written = 0
    for number in range(6):
        with _start(path, f"writer{number}", 10_000) as writer:
            said = [writer.stdout.readline() for _ in range(dice.randrange(1, 6))]
            time.sleep(dice.uniform(0, 0.02))
            os.kill(writer.pid, signal.SIGKILL)
            said += writer.stdout.readlines()
        written += len(said)
        runs = ledger.read(path)
        assert written <= len(runs) <= written + number + 1  # the last of each may have been written but not said
        assert {len(run.curve) for run in runs} == {40}
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    assert ledger.add(path, [_run("after")]) == 1


def test_a_foreign_sqlite_file_is_left_alone(path):
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (id INTEGER)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"another program's SQLite file; set TITHE_LEDGER"):
        ledger.add(path, [_run()])
    with pytest.raises(LedgerError, match="another program's"):
        ledger.read(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"This is no database at all, but long enough to be one.\n" * 40, b"\x00" * 4096])
def test_a_file_that_is_no_database_is_left_alone(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    for use in (lambda: ledger.add(path, [_run()]), lambda: ledger.read(path)):
        with pytest.raises(LedgerError, match="damaged or is no ledger"):
            use()
    assert path.read_bytes() == content


def test_a_damaged_ledger_says_so(path):
    ledger.add(path, [_run(str(number), curve=(Point(1, 0.1, 1.0, 1.0, 1.0),)) for number in range(200)])
    content = bytearray(path.read_bytes())
    content[4096:] = random.Random(0).randbytes(len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=r"damaged|cannot be read"):
        ledger.read(path)


def test_a_ledger_of_a_newer_tithe_is_left_alone(path):
    ledger.add(path, [_run()])
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {ledger.VERSION + 1}")
    connection.close()
    with pytest.raises(LedgerError, match="newer tithe"):
        ledger.add(path, [_run("b")])


def test_where_nothing_can_be_written_it_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "ledger.sqlite", tmp_path):
        with pytest.raises(LedgerError, match="cannot be written"):
            ledger.add(path, [_run()])


def test_a_read_only_ledger_is_read_and_not_written(path):
    ledger.add(path, [_run()])
    if os.geteuid() == 0:
        command = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(path.parent)]
        copy = path.parent.with_name("copy")
        shutil.copytree(path.parent, copy)
        bind = ["mount", "--bind", str(copy), str(path.parent)], ["mount", "-o", "remount,ro,bind", str(path.parent)]
        if shutil.which("mount") is None or any(subprocess.run(step, capture_output=True).returncode for step in bind):
            pytest.skip("needs the right to mount a folder read-only (root, in most containers)")
        del command
    else:
        path.chmod(0o400)
        path.parent.chmod(0o500)
    try:
        with pytest.raises(LedgerError, match="cannot be written"):
            ledger.add(path, [_run("b")])
        assert [run.run for run in ledger.read(path)] == ["a"]
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", str(path.parent)], check=True)
        else:
            path.parent.chmod(0o700)


def test_the_environment_says_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv(ledger.ENVIRONMENT, str(tmp_path / "x.sqlite"))
    assert ledger.path() == tmp_path / "x.sqlite"
    monkeypatch.setenv(ledger.ENVIRONMENT, "off")
    assert ledger.path() is None
    monkeypatch.delenv(ledger.ENVIRONMENT)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert ledger.path().name == "ledger.sqlite"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("", "abc"),
        ("data=MNIST", "ab"),
        ("data!=mnist", "c"),
        ("model~lenet*", "a"),
        ("density<=0.1 half=sparse", "a"),
        ("error>0.05", "bc"),
        (["density < 1"], "a"),
        ("id>=2", "bc"),
        ("seed=0", ""),
    ],
)
def test_conditions_choose_runs(path, words, wanted):
    ledger.add(
        path,
        [
            _run("a", data="mnist", model="lenet-5", density=0.05, error=0.01),
            _run("b", "dense", data="mnist", model="mlp:3", density=1.0, error=0.1),
            _run("c", data="digits", model="mlp:3", error=0.2),
        ],
    )
    assert "".join(run.run for run in ledger.read(path, conditions(words))) == wanted


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("density", "no condition"),
        ("dnsity=1", "did you mean density"),
        ("density=low", "give a number"),
        ("seed=nan", "give a"),
    ],
)
def test_what_is_no_condition_is_refused(words, says):
    with pytest.raises(ValueError, match=says):
        conditions(words)
