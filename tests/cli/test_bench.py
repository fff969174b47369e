"""`tithe bench` as its user meets it: what it prints, what it writes, what it refuses."""

import json
import os
import signal
import threading

import pytest

from cli.command import Tithe
from tithe.bench import run as bench_run

TINY = ["--shapes", "linear:64x32@16", "--density", "0.1", "--seconds", "0.05"]


def test_a_layer_is_timed_drawn_and_written(tithe: Tithe, tmp_path):
    out = tmp_path / "bench"
    outcome = tithe("bench", "layer", *TINY, "--out", out, "--json")
    assert outcome.status == 0, outcome
    content = outcome.report
    assert content == json.loads((out / "bench.json").read_text())
    assert (out / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert (content["what"], content["finished"]) == ("layer", True)
    (row,) = content["rows"]
    assert (row["title"], row["threads"]) == ("Linear 64 -> 32, batch 16", 1)
    timed = {(result["system"], result["density"]) for result in row["results"]}
    assert {("dense float32", None), ("sparse", 0.1), ("sparse, inside a network", 0.1), ("torch CSR", 0.1)} <= timed
    assert all(result["rounds"] >= 1 and result["median_ms"] > 0 for result in row["results"])
    assert outcome.stderr.splitlines() == ["1/1  Linear 64 -> 32, batch 16, 1 thread"]


def test_steps_threads_and_the_table(tithe: Tithe, tmp_path):
    how = ["--models", "mlp:16@8,lenet-300-100@8", "--density", "0.5,0.2", "--density", "0.2", "--threads", "1,2"]
    outcome = tithe("bench", "step", *how, "--seconds", "0.01", "--out", tmp_path / "bench")
    assert outcome.status == 0, outcome
    assert outcome.stdout.count("training step (measured)") == 4
    assert "density 20 %" in outcome.stdout
    assert "density 50 %" in outcome.stdout
    rows = json.loads((tmp_path / "bench" / "bench.json").read_text())["rows"]
    assert [(row["spec"], row["threads"]) for row in rows] == [
        *[("mlp:16@8", 1), ("mlp:16@8", 2), ("lenet-300-100@8", 1), ("lenet-300-100@8", 2)],
    ]
    assert {result["density"] for result in rows[0]["results"]} == {None, 0.5, 0.2}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--shapes", "linear:3"], ("shape 'linear:3'", "linear:INxOUT@BATCH")),
        (["--density", "1.5"], ("density 1.5", "at most 1")),
        (["--density", "0.1,,x"], ("--density 0.1,x", "numbers joined by commas")),
        (["--density", "0.00001", "--shapes", "linear:4x4@2"], ("density",)),
        (["--threads", "0"], ("0 threads",)),
        (["--threads", "1.5"], ("--threads 1.5",)),
        (["--seconds", "-1"], ("-1 seconds",)),
        (["network"], ("'network'", "layer or step")),
        (["step", "--models", "mlp:x"], ("mlp:x",)),
        (["--models", "mlp:8"], ("--models", "--shapes")),
    ],
)
def test_bad_input_gets_one_line(tithe: Tithe, tmp_path, options, words):
    assert tithe("bench", *options, "--out", tmp_path / "bench").refused(*words)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_refused(tithe: Tithe, tmp_path):
    out = tmp_path / "bench"
    assert tithe("bench", *TINY, "--out", out).status == 0
    before = (out / "bench.json").read_bytes()
    assert tithe("bench", *TINY, "--out", out).refused("already holds a benchmark", "--out")
    assert (out / "bench.json").read_bytes() == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    assert tithe("bench", *TINY, "--out", tmp_path / "other").refused("holds other files", "--out")


@pytest.mark.parametrize(("sent", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_keeps_what_was_measured(tithe: Tithe, tmp_path, monkeypatch, sent, expected):
    measure = bench_run.measure

    def interrupted(turns, seconds, watch):
        if len(turns) > 0 and threading.current_thread() is threading.main_thread():
            watch_until = iter(range(12))

            def watch_then_kill(fraction: float) -> None:
                watch(fraction)
                if next(watch_until) == 11:
                    os.kill(os.getpid(), sent)

            measure(turns, 60.0, watch_then_kill)

    monkeypatch.setattr(bench_run, "measure", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        outcome = tithe("bench", *TINY, "--out", tmp_path / "bench")
    finally:
        signal.signal(signal.SIGINT, before)
    assert outcome.status == expected
    assert outcome.stderr.splitlines()[-1].endswith(f"what was measured is in {tmp_path}/bench/.")
    content = json.loads((tmp_path / "bench" / "bench.json").read_text())
    assert content["finished"] is False
    assert content["rows"][0]["results"]


def test_an_interruption_before_anything_was_measured_writes_nothing(tithe: Tithe, tmp_path, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench_run, "Entries", interrupted)
    outcome = tithe("bench", *TINY, "--out", tmp_path / "bench")
    assert (outcome.status, outcome.stderr.splitlines()[-1]) == (130, "tithe: interrupted; nothing was measured.")
    assert list(tmp_path.iterdir()) == []
