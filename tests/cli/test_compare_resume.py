"""`tithe compare` stopped, killed and begun again: no run is lost, none is repeated."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cli.command import Tithe
from cli.comparison import TWO, learned, result
from tithe.errors import UsageError
from tithe.train.files import locked


def started(out: Path, *more: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from tithe.cli import main; main()", "compare", *TWO, "--out", out, *more]

    def heed_ctrl_c() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([str(word) for word in command], preexec_fn=heed_ctrl_c, **pipes)


def wait_for(condition) -> None:
    for _ in range(15000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("nothing happened in five minutes")


def unlocked(folder: Path) -> bool:
    try:
        with locked(folder):
            return True
    except UsageError:
        return False


@pytest.mark.parametrize("processes", [1, 2])
def test_kill_9_loses_and_repeats_no_run(tithe: Tithe, tmp_path, whole, processes):
    out, dice = tmp_path / "cmp", random.Random()
    with started(out, "--processes", processes) as process:
        wait_for(lambda: list(out.glob("runs/*/report.json")))
        time.sleep(dice.uniform(0, 0.3))
        process.kill()
    time.sleep(1)  # workers see that they are alone, and leave
    wait_for(lambda: all(map(unlocked, out.glob("runs/*"))))
    done = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/report.json")}
    outcome = tithe("compare", *TWO, "--out", out, "--processes", processes)
    assert outcome.status == 0, outcome
    assert result(out)["processes"] == processes
    assert f"6 runs, {len(done)} of them done already" in outcome.stderr
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert learned(out) == learned(whole)


@pytest.mark.parametrize(("sent", "expected", "processes"), [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 2)])
def test_a_signal_ends_it_with_a_sentence_and_leaves_no_process(tithe: Tithe, tmp_path, sent, expected, processes):
    out = tmp_path / "cmp"
    with started(out, "--processes", processes) as process:
        wait_for(lambda: list(out.glob("runs/*/run.json")))
        os.kill(process.pid, sent)
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == expected, said
    assert f"tithe compare --resume --out {out}" in said.splitlines()[-1]
    assert "Traceback" not in said


def test_two_comparisons_do_not_share_a_folder(tithe: Tithe, tmp_path):
    out = tmp_path / "cmp"
    with started(out) as process:
        wait_for(lambda: (out / "runs").exists())
        assert tithe("compare", *TWO, "--out", out).refused("another process", "--out")
        process.kill()
