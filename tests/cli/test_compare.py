"""`tithe compare` as its user meets it: the answer, going on after a kill, and what it refuses."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from report.test_page import FORBIDDEN, read, text

from cli.command import Outcome, Tithe
from tithe.cli import status
from tithe.compare import run as compare_run
from tithe.report import comparison

SMALL = ["--model", "mlp:24-16", "--batch-size", 32, "--threads", 1, "--density", 0.2]
METHODS = ["--methods", "rigl,static,dense"]
TWO = [*SMALL, *METHODS, "--seeds", 2, "--epochs", 2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison without an interruption."""
    out = tmp_path_factory.mktemp("whole") / "cmp"
    assert status([str(word) for word in ["compare", *TWO, "--out", out]]) == 0
    return out


def result(out: Path) -> dict[str, Any]:
    return json.loads((out / "result.json").read_bytes())


def stamps(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*")}


def learned(out: Path) -> dict[str, bytes]:
    """The last tensors of every run, by its folder."""
    return {path.parent.parent.name: path.read_bytes() for path in out.glob("runs/*/sparse/checkpoint-*.safetensors")}


def test_json_is_one_object_with_every_figure_and_how_it_is_known(tithe: Tithe, whole):
    outcome = tithe("compare", *TWO, "--out", whole, "--json")
    assert outcome.status == 0
    found = outcome.report
    assert found == result(whole)
    assert set(found["tactics"]) == {"rigl 20 %", "static 20 %", "dense"}
    for tactic in found["tactics"].values():
        assert [run["seed"] for run in tactic["runs"]] == [0, 1]
        for figure in (tactic["error"], tactic["bytes"], *tactic["training"].values(), *tactic["total"].values()):
            assert figure["how"] in ("measured", "counted", "modelled", "assumed")
            assert figure["low"] <= figure["value"] <= figure["high"]
            assert figure["unit"]
        for unit, total in tactic["total"].items():
            parts = tactic["training"][unit]["value"] + 1e6 * tactic["inference"][unit]["value"]
            assert total["value"] == pytest.approx(parts)


def test_an_inference_is_counted_on_the_network_that_came_out(whole):
    weights = 64 * 24 + 24 * 16 + 16 * 10
    tactics = result(whole)["tactics"]
    assert tactics["dense"]["inference"]["flop"]["value"] == 2 * weights
    assert tactics["static 20 %"]["inference"]["flop"]["value"] == 2 * round(0.2 * weights)
    assert tactics["dense"]["inference"]["seconds"]["value"] > 0


def test_training_is_that_of_tithe_train(tithe: Tithe, whole, tmp_path):
    """The same seed gives the same bits."""
    words = [*SMALL, "--epochs", 2, "--method", "rigl", "--seed", 1, "--compare", "none", "--out", tmp_path / "run"]
    assert tithe("train", *words).status == 0
    alone = next((tmp_path / "run").glob("sparse/checkpoint-*.safetensors")).read_bytes()
    assert learned(whole)["rigl-0.2-seed-1"] == alone


def test_the_same_command_again_repeats_no_run_and_other_prices_need_none(tithe: Tithe, whole):
    before = stamps(whole)
    again = tithe("compare", *TWO, "--out", whole)
    assert (again.status, again.stderr.strip()) == (0, "6 runs, 6 of them done already")
    more = tithe("compare", "--resume", "--out", whole, "--inferences", 1e12, "--cost", "flop", "--json").report
    assert stamps(whole) == before
    assert more["inferences"] == 1e12
    overtaken = more["overtakes"]["static 20 %"]["dense"]
    assert overtaken == {"inferences": 0.0, "beyond_noise": True}
    assert more["overtakes"]["dense"]["static 20 %"]["inferences"] == "inf"
    # In 90 steps rigl rewires nothing, so it costs what static costs.
    assert more["overtakes"]["rigl 20 %"]["static 20 %"] == {"inferences": "inf", "beyond_noise": False}
    assert more["says"][-1].startswith("Error aside, FLOP is least with")
    assert "dense" not in more["says"][-1]
    assert "within noise of it" in more["says"][-1]


def test_the_table_and_the_answer_go_to_stdout(tithe: Tithe, whole):
    outcome = tithe("compare", "--resume", "--out", whole)
    for word in ("test error", "measured", "counted", "modelled", "Who overtakes whom", "Lowest test error", "±"):
        assert word in outcome.stdout


def started(out: Path, *more: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from tithe.cli import main; main()", "compare", *TWO, "--out", out, *more]

    def heed_ctrl_c() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([str(word) for word in command], preexec_fn=heed_ctrl_c, **pipes)


def wait_for(condition) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("nothing happened in a minute")


@pytest.mark.parametrize("processes", [1, 2])
def test_kill_9_loses_and_repeats_no_run(tithe: Tithe, tmp_path, whole, processes):
    out, dice = tmp_path / "cmp", random.Random()
    with started(out, "--processes", processes) as process:
        wait_for(lambda: list(out.glob("runs/*/report.json")))
        time.sleep(dice.uniform(0, 0.3))
        process.kill()
    time.sleep(1)  # workers see that they are alone, and leave
    done = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/report.json")}
    names = {path: path.parent.name for path in done}
    outcome = tithe("compare", *TWO, "--out", out, "--processes", processes)
    assert outcome.status == 0, outcome
    assert result(out)["processes"] == processes
    assert f"6 runs, {len(done)} of them done already" in outcome.stderr
    assert {path: path.stat().st_mtime_ns for path in names} == done
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


@pytest.mark.parametrize("budget", [("flop", "--epochs", 4), ("60 MFLOP",)])
def test_equal_flop_are_equal_up_to_whole_epochs(tithe: Tithe, tmp_path, budget):
    words = [*SMALL, "--methods", "dense,sparse-momentum,one-shot", "--seeds", 1, "--budget", *budget]
    outcome = tithe("compare", *words, "--out", tmp_path / "cmp", "--json")
    assert outcome.status == 0, outcome
    tactics = outcome.report["tactics"]
    wanted = tactics["dense"]["training"]["flop"]["value"] if budget[0] == "flop" else 60e6
    for tactic in tactics.values():
        spent = tactic["training"]["flop"]["value"]
        assert abs(spent - wanted) <= 0.11 * wanted, tactic  # half an epoch of four, or half a rewiring
    assert [tactics[name]["epochs"] for name in ("dense", "sparse-momentum 20 %")] == [4, pytest.approx(14, abs=4)]


def test_equal_seconds_become_epochs(tithe: Tithe, tmp_path):
    words = [*SMALL, "--methods", "static", "--seeds", 1, "--budget", "0.5s", "--out", tmp_path / "cmp", "--json"]
    outcome = tithe("compare", *words)
    assert outcome.status == 0, outcome
    assert outcome.report["tactics"]["static 20 %"]["epochs"] > 1
    assert outcome.report["budget"]["says"] == "0.500 s of training each"


def test_a_method_whose_needs_are_not_met_is_left_out_and_the_others_run(tithe: Tithe, tmp_path):
    words = ["--model", "mlp:24", "--methods", "static,small-dense", "--density", 0.04, "--seeds", 1, "--epochs", 1]
    outcome = tithe("compare", *words, "--out", tmp_path / "cmp", "--json")
    assert outcome.status == 0, outcome
    assert list(outcome.report["tactics"]) == ["static 4 %"]
    assert "give more density" in outcome.report["left_out"]["small-dense 4 %"]
    assert any("Left out: small-dense 4 %" in sentence for sentence in outcome.report["says"])


def test_a_method_that_diverges_is_said_to_and_not_tried_again(tithe: Tithe, tmp_path):
    words = [*SMALL, "--methods", "static,dense", "--seeds", 1, "--epochs", 2, "--lr", 1e30, "--out", tmp_path / "cmp"]
    outcome = tithe("compare", *words)
    assert outcome.status == 2
    assert "every run" in outcome.stderr.splitlines()[-1]
    assert "--lr" in outcome.stderr.splitlines()[-1]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("cmp/runs/*/diverged.json")}
    assert len(before) == 2
    tithe("compare", *words)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("cmp/runs/*/diverged.json")} == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--methods", "rigle"], ["rigle", "did you mean rigl?"]),
        (["--density", "1.5"], ["1.5", "above 0"]),
        (["--density", "0.1,lots"], ["lots", "0.02,0.05"]),
        (["--density", "nan"], ["nan", "above 0"]),
        (["--budget", "1e9FLOP", "--budget", "3s"], ["contradict"]),
        (["--budget", "1e9FLOP", "--epochs", 3], ["contradict", "--epochs 3"]),
        (["--budget", "lots"], ["lots", "20epochs"]),
        (["--budget", "1FLOP", "--methods", "static", "--model", "mlp:8"], ["larger budget"]),
        (["--seeds", 0], ["--seeds 0", "1"]),
        (["--inferences", -1], ["--inferences -1"]),
        (["--inferences", "nan"], ["--inferences nan"]),
        (["--processes", 0], ["--processes 0"]),
        (["--cost", "shells"], ["shells", "usd"]),
        (["--model", "mlp:no"], ["mlp:no"]),
        (["--lr", 0], ["learning rate 0"]),
        (["--report", "/no/such/folder/x.html"], ["/no/such/folder"]),
        (["nowhere"], ["nowhere"]),
    ],
)
def test_bad_input_is_refused_with_a_sentence(tithe: Tithe, tmp_path, words, said):
    outcome: Outcome = tithe("compare", *words, "--out", tmp_path / "cmp")
    assert outcome.status == 2, outcome
    assert not outcome.stdout
    last = outcome.stderr.splitlines()[-1]
    assert last.startswith("tithe: ")
    assert all(word in last for word in said), last
    assert not (tmp_path / "cmp" / "result.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", 3], ["seeds 2, not 3"]),
        (["--methods", "set"], ["methods", "set"]),
        (["--epochs", 3], ["2 epochs each, not 3 epochs each"]),
        (["--lr", 0.01], ["lr unset, not 0.01"]),
    ],
)
def test_another_plan_in_the_same_folder_is_refused(tithe: Tithe, whole, words, said):
    before = stamps(whole)
    assert tithe("compare", "--resume", *words, "--out", whole).refused(*said, "--out")
    assert stamps(whole) == before


def test_folders_that_hold_something_else_are_refused(tithe: Tithe, tmp_path, whole):
    (tmp_path / "file").write_text("mine")
    assert tithe("compare", *TWO, "--out", tmp_path / "file").refused("is a file")
    assert tithe("compare", *TWO, "--out", tmp_path).refused("holds other files")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "compare.json").write_text('{"format": 1')
    assert tithe("compare", *TWO, "--out", tmp_path / "bad").refused("damaged")


def test_the_page_is_whole_and_says_what_the_result_says(tithe: Tithe, tmp_path, whole):
    page = tmp_path / "page.html"
    assert tithe("compare", "--resume", "--out", whole, "--report", page).status == 0
    html = page.read_text()
    parsed = read(html)
    assert not FORBIDDEN & set(parsed.tags)
    found = result(whole)
    said = text(html).replace("\N{NO-BREAK SPACE}", " ")
    for sentence in found["says"]:
        assert " ".join(sentence.split()) in said
    for name in found["tactics"]:
        assert name in said
    for word in ("measured", "counted", "modelled", "assumed", "Welch", "Holm", "seeds do not tell"):
        assert word in said
    assert html == comparison.render(found)


def test_what_users_named_is_text(whole):
    found = result(whole)
    found["data"]["name"] = "<script>alert(1)</script>"
    assert "<script>" not in comparison.render(found)


def test_every_default_method_is_known():
    from tithe.compare.tactics import combined

    assert len(combined(compare_run.DEFAULT_METHODS, compare_run.DEFAULT_DENSITIES)) == 5
