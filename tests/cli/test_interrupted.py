"""A run that is stopped, by whatever, goes on with --resume as if nothing had happened."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.command import SMALL, Tithe, final_tensors
from tithe.cli import status

DRIVER = """
import os, random, signal, sys, time
from pathlib import Path
from tithe.cli import main
import tithe.train.run, tithe.cli.progress, sklearn.datasets  # once, so that the kills hit the training

dice, out, longest = random.Random(int(sys.argv[1])), Path(sys.argv[2]), 0.3
while not (out / "report.json").exists():
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        main(["train", *sys.argv[3:], "--resume", "--out", str(out)])
    time.sleep(dice.uniform(0.02, longest))
    os.kill(child, signal.SIGKILL)
    _, ended = os.waitpid(child, 0)
    longest *= 1.15
    print("killed" if os.WIFSIGNALED(ended) else os.WEXITSTATUS(ended), flush=True)
"""
"""Trains in a child, kills it with kill -9 after a random moment and lets the next child resume, until the run is done.
The moments grow later, so that this ends on a slow machine too."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run without an interruption."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert status(["train", *SMALL, "--out", str(out)]) == 0
    return out


def test_kill_9_at_any_moment_changes_nothing(tithe: Tithe, tmp_path, whole):
    seed, out = random.Random().randrange(1000), tmp_path / "killed"
    command = [sys.executable, "-c", DRIVER, str(seed), str(out), *SMALL]
    driver = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    kills = driver.stdout.split()
    assert kills.count("killed") >= 3, driver.stdout
    assert set(kills) <= {"killed", "0"}, f"seed {seed}: {driver.stdout}\n{driver.stderr}"
    assert tithe("train", "--resume", "--out", out).status == 0
    assert final_tensors(out) == final_tensors(whole), f"seed {seed}"
    left = {path.name for path in out.rglob("*") if not path.name.startswith(".")}
    assert left == {path.name for path in whole.rglob("*")}


def heed_ctrl_c() -> None:
    """A shell starts its background jobs, this test run maybe, with Ctrl-C ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(("half", "sent", "expected"), [("sparse", signal.SIGINT, 130), ("dense", signal.SIGTERM, 143)])
def test_a_signal_ends_training_with_its_status_and_training_can_go_on(
    tithe: Tithe, tmp_path, whole, half, sent, expected
):
    out = tmp_path / "stopped"
    command = [sys.executable, "-c", "from tithe.cli import main; main()", "train", *SMALL, "--out", str(out), "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, preexec_fn=heed_ctrl_c) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        while not process.stderr.readline().startswith(f"{half} "):
            assert process.poll() is None
        os.kill(process.pid, sent)
        said, printed = process.stderr.read(), process.stdout.read()
    assert (process.returncode, printed) == (expected, "")
    last = said.splitlines()[-1]
    assert f"tithe train --resume --out {out}" in last
    assert "Traceback" not in said
    assert tithe("train", "--resume", "--out", out).status == 0
    assert final_tensors(out) == final_tensors(whole)


def test_ctrl_c_before_anything_was_written_says_so(tithe: Tithe, tmp_path, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tithe.train.data.load", interrupted)
    outcome = tithe("train", *SMALL, "--out", tmp_path / "run")
    assert (outcome.status, outcome.stderr.strip()) == (130, "tithe: interrupted; nothing was written.")
    assert list(tmp_path.iterdir()) == []
