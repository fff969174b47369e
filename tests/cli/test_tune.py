"""`tithe tune` as its user meets it: the answer, its bill, going on after a kill, and what it refuses."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cli.command import Tithe
from tithe.cli import status
from tithe.cost import ledger

SMALL = ["--model", "mlp:24-16", "--batch-size", 32, "--threads", 1, "--density", 0.3, "--method", "rigl"]
TUNE = [*SMALL, "--epochs", 4, "--trials", 5, "--validation", 0.2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tuning without an interruption."""
    out = tmp_path_factory.mktemp("whole") / "tune"
    assert status([str(word) for word in ["tune", *TUNE, "--out", out]]) == 0
    return out


def result(out: Path) -> dict[str, Any]:
    return json.loads((out / "result.json").read_bytes())


def found(out: Path) -> list[tuple[Any, ...]]:
    """What does not depend on the clock."""
    return [(t["number"], t["params"], t["ended"], t["error"], t["epochs"], t["flop"]) for t in result(out)["trials"]]


def test_json_has_every_trial_and_the_bill_of_all_of_them(tithe: Tithe, whole):
    outcome = tithe("tune", *TUNE, "--out", whole, "--json")
    assert outcome.status == 0
    report = outcome.report
    assert report == result(whole)
    trials = report["trials"]
    assert [trial["number"] for trial in trials] == list(range(5))
    assert trials[0]["params"] == {"lr": 0.1, "rate": 0.3, "weight-decay": 5e-4}
    assert {trial["ended"] for trial in trials} <= {"finished", "stopped", "diverged"}
    bill = report["bill"]["tuning"]
    assert bill["flop"]["value"] == sum(trial["flop"] for trial in trials)
    for name, how in (("flop", "counted"), ("seconds", "measured"), ("kwh", "modelled"), ("usd", "modelled")):
        assert bill[name]["how"] == how
        assert bill[name]["value"] == pytest.approx(sum(trial["bill"][name]["value"] for trial in trials))
        assert report["bill"]["final"][name]["value"] > 0


def test_trials_are_judged_on_held_out_training_examples_and_the_best_once_on_the_test_set(whole):
    report = result(whole)
    assert report["data"] == {"name": "digits", "n_train": 1438, "n_test": 359, "n_validation": 287}
    best = report["best"]
    trial = json.loads((whole / f"trials/{best['number']:03}/report.json").read_bytes())
    assert trial["data"] | {"sha256": ""} == {
        **{"name": "digits (validation)", "n_train": 1151, "n_test": 287, "input_shape": [1, 8, 8], "classes": 10},
        "sha256": "",
    }
    assert best["error"] == pytest.approx(1 - trial["sparse"]["accuracy"])
    assert best["error"] == min(t["error"] for t in report["trials"] if t["ended"] == "finished")
    final = json.loads((whole / f"best-{best['number']:03}/report.json").read_bytes())
    assert final["data"]["n_train"] == 1438
    assert final["recipe"]["lr"] == best["params"]["lr"]
    error = report["test_error"]
    assert error["value"] == pytest.approx(1 - final["sparse"]["accuracy"])
    assert error["low"] < error["value"] < error["high"]


def test_each_trial_is_in_the_ledger(whole):
    where = ledger.path()
    assert where is not None
    ours = [run for run in ledger.read(where) if run.more["recipe"]["model"] == "mlp:24-16" and run.method == "rigl"]
    trials = [run for run in ours if run.data == "digits (validation)"]
    assert {run.seed for run in trials} == {0}
    assert {run.status for run in trials} <= {"finished", "stopped", "diverged"}
    assert len([run for run in trials if run.more["recipe"]["validation"] == 0.2]) >= 5
    assert any(run.data == "digits" for run in ours)


def test_the_tables_the_answer_and_a_picture(tithe: Tithe, whole):
    outcome = tithe("tune", "--resume", "--out", whole)
    assert outcome.stderr.strip() == "5 trials, 5 of them done already"
    for word in ("rigl, mlp:24-16 on digits", "counted", "measured", "modelled", "Best of 5 trials", "Tuning took"):
        assert word in outcome.stdout
    assert (whole / "tuning.png").read_bytes().startswith(b"\x89PNG")


def test_more_trials_repeat_none(tithe: Tithe, whole, tmp_path):
    out = tmp_path / "tune"
    shutil.copytree(whole, out)
    before = {path: path.stat().st_mtime_ns for path in out.glob("trials/*/trial.json")}
    assert tithe("tune", "--resume", "--out", out, "--trials", 7).status == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert found(out)[:5] == found(whole)
    assert len(found(out)) == 7
    assert json.loads((out / "tune.json").read_bytes())["trials"] == 7, "for who goes on after an interruption"


def started(out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from tithe.cli import main; main()", "tune", *TUNE, "--out", out]

    def heed_ctrl_c() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([str(word) for word in command], preexec_fn=heed_ctrl_c, **pipes)


def wait_for(condition) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("nothing happened in two minutes")


def test_kill_9_loses_and_repeats_no_trial(tithe: Tithe, tmp_path, whole):
    out, dice = tmp_path / "tune", random.Random()
    with started(out) as process:
        wait_for(lambda: list(out.glob("trials/*/trial.json")))
        time.sleep(dice.uniform(0, 1.0))
        process.kill()
    done = {path: path.stat().st_mtime_ns for path in out.glob("trials/*/trial.json")}
    outcome = tithe("tune", *TUNE, "--out", out)
    assert outcome.status == 0, outcome
    assert f"5 trials, {len(done)} of them done already" in outcome.stderr
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert found(out) == found(whole)
    assert result(out)["test_error"] == result(whole)["test_error"]


def test_ctrl_c_ends_it_with_a_sentence(tmp_path):
    out = tmp_path / "tune"
    with started(out) as process:
        wait_for(lambda: list(out.glob("trials/*/run.json")))
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 130, said
    assert f"tithe tune --resume --out {out}" in said.splitlines()[-1]
    assert "Traceback" not in said


def test_a_budget_ends_it_and_seconds_can_be_the_cost(tithe: Tithe, tmp_path):
    words = [*SMALL, "--epochs", 2, "--trials", 50, "--out", tmp_path / "tune", "--json", "--tune", "lr,width,depth"]
    report = tithe("tune", *words, "--budget", "0.2s").report
    assert report["cost"] == "seconds"
    assert report["budget"] == {"kind": "seconds", "amount": 0.2}
    spent = [trial["bill"]["seconds"]["value"] for trial in report["trials"]]
    assert sum(spent) >= 0.2 > sum(spent[:-1])


def test_a_loss_that_is_not_finite_is_a_bad_trial_and_no_end(tithe: Tithe, tmp_path):
    words = [*SMALL, "--epochs", 2, "--trials", 4, "--range", "lr=0.1:1e30", "--out", tmp_path / "tune", "--json"]
    report = tithe("tune", *words).report
    diverged = [trial for trial in report["trials"] if trial["ended"] == "diverged"]
    assert diverged
    assert all(trial["error"] is None and trial["flop"] > 0 and trial["bill"] for trial in diverged)
    assert report["best"]["ended"] == "finished"


def test_where_every_trial_diverges_it_says_so(tithe: Tithe, tmp_path):
    words = [*SMALL, "--epochs", 1, "--trials", 2, "--lr", 1e30, "--tune", "weight-decay", "--out", tmp_path / "tune"]
    outcome = tithe("tune", *words)
    assert outcome.status == 1
    assert "every trial" in outcome.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--tune", "learning-rate"], ["did you mean lr"]),
        (["--method", "rigel"], ["did you mean rigl"]),
        (["--model", "lenet-55"], ["did you mean lenet-5"]),
        (["digitz"], ["did you mean digits"]),
        (["--range", "lr=1"], ["--range lr=1", "NAME=LOW:HIGH"]),
        (["--range", "lr=2:1"], ["the lower first"]),
        (["--trials", 0], ["--trials 0", "1 to"]),
        (["--validation", 1.5], ["--validation 1.5", "below 1"]),
        (["--budget", "2TFLOP", "--budget", "90s"], ["contradict each other"]),
        (["--budget", "2TFLOP", "--cost", "seconds"], ["contradict each other"]),
        (["--budget", "20epochs"], ["epochs are no budget"]),
        (["--budget", "flop"], ["does not say how much"]),
        (["--cost", "epochs"], ["--cost epochs", "flop, seconds"]),
        (["--method", "search"], ["trains many networks"]),
        (["--model", "resnet18", "--tune", "depth"], ["does not say its widths and depth"]),
        (["--supar", "mlp:24"], ["same depth"]),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(tithe: Tithe, tmp_path, words, says):
    assert tithe("tune", *words, "--out", tmp_path / "tune").refused(*says)
    assert not (tmp_path / "tune").exists()


def test_a_folder_of_something_else_is_refused(tithe: Tithe, tmp_path, whole):
    assert tithe("tune", *TUNE, "--model", "mlp:30", "--out", whole).refused("mlp:24-16, not mlp:30", "--out")
    assert tithe("tune", "fashion-mnist", *TUNE, "--out", whole).status == 2
    assert tithe("tune", *TUNE, "--tune", "lr", "--out", whole).refused("the ranges", "--out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear reader")
    assert tithe("tune", *TUNE, "--out", tmp_path / "full").refused("no tuning", "--out")


def test_without_optuna_it_names_the_extra(tithe: Tithe, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert tithe("tune", "--out", tmp_path / "tune").refused("pip install 'tithe[tune]'")
    assert not (tmp_path / "tune").exists()


def test_help_has_examples(tithe: Tithe):
    shown = tithe("tune", "--help")
    assert shown.status == 0
    for word in ("Examples:", "--range", "Exit status:", "tithe tune mnist"):
        assert word in shown.stdout


def test_search_as_a_tactic_pays_for_all_its_trials(tithe: Tithe, tmp_path):
    words = ["--model", "mlp:24-16", "--batch-size", 64, "--threads", 1, "--density", 0.3, "--seeds", 1, "--epochs", 2]
    out = tmp_path / "cmp"
    outcome = tithe("compare", *words, "--methods", "search,small-dense", "--out", out, "--json")
    assert outcome.status == 0, outcome
    folder = out / "runs" / "search-0.3-seed-0"
    inside = json.loads((folder / "search" / "result.json").read_bytes())
    last = inside["bill"]["final"]
    searched = outcome.report["tactics"]["search 30 %"]
    flop = sum(trial["flop"] for trial in inside["trials"]) + last["flop"]["value"]
    assert searched["training"]["flop"]["value"] == flop
    assert len(inside["trials"]) == 10
    assert flop > 2 * outcome.report["tactics"]["small-dense 30 %"]["training"]["flop"]["value"]
    assert searched["weights"]["value"] <= 0.3 * (64 * 24 + 24 * 16 + 16 * 10)
    assert json.loads((folder / "report.json").read_bytes())["sparse"]["search"]["model"].startswith("mlp:")
    again = tithe("compare", *words, "--methods", "search,small-dense", "--out", out)
    assert again.stderr.strip() == "2 runs, 2 of them done already"


@pytest.mark.parametrize(
    ("model", "density", "says"),
    [
        ("tests_linear:make", 0.5, "has no channels to remove"),
        ("vgg-like", 1e-6, "with one channel in each layer"),
        ("mlp:20-20", 1e-3, "give more density"),
    ],
)
def test_search_needs_channels_and_weights_for_them(tithe: Tithe, tmp_path, monkeypatch, model, density, says):
    (tmp_path / "tests_linear.py").write_text(LINEAR)
    monkeypatch.syspath_prepend(tmp_path)
    words = ["--model", model, "--density", density, "--epochs", 1]
    assert tithe("train", *words, "--method", "search", "--out", tmp_path / "run").refused(says)
    assert tithe("compare", *words, "--methods", "search", "--out", tmp_path / "cmp").refused(says)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "cmp").exists()


LINEAR = """
from torch import nn


def make(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
"""


def test_a_search_over_the_channels_of_a_network_of_fixed_depth(tithe: Tithe, tmp_path):
    words = ["--model", "vgg-like", "--density", 0.001, "--epochs", 1, "--threads", 1]
    shown = tithe("train", *words, "--method", "search", "--out", tmp_path / "run")
    assert shown.status == 0, shown
    report = json.loads((tmp_path / "run" / "report.json").read_bytes())
    found = report["sparse"]["search"]
    assert (found["model"], found["density"]) == ("vgg-like", 0.001)
    assert "Found: vgg-like with 0.001 of its weights" in shown.stdout
    trials = json.loads((tmp_path / "run" / "search" / "result.json").read_bytes())["trials"]
    tapers = {trial["params"]["taper"] for trial in trials}
    assert len(tapers) == len(trials) == 10, "each has widths of its own"
    assert len({trial["flop"] for trial in trials}) > 5, "which make other networks"
    again = ["--method", "small-dense", "--taper", found["taper"], "--compare", "none"]
    alone = tithe("train", *words, *again, "--out", tmp_path / "alone", "--json")
    assert alone.report["sparse"]["accuracy"] == report["sparse"]["accuracy"], "the same network, without a search"


def test_a_search_alone(tithe: Tithe, tmp_path):
    out = tmp_path / "run"
    words = ["--model", "mlp:24-16", "--batch-size", 64, "--threads", 1, "--density", 0.3, "--epochs", 2]
    shown = tithe("train", *words, "--method", "search", "--out", out)
    assert shown.status == 0, shown
    report = json.loads((out / "report.json").read_bytes())
    found = report["sparse"]["search"]
    assert f"Found: {found['model']}. What its 10 trials took" in shown.stdout
    inside = json.loads((out / "search" / "result.json").read_bytes())
    flop = sum(trial["flop"] for trial in inside["trials"]) + inside["bill"]["final"]["flop"]["value"]
    assert report["sparse"]["training_flop"] == flop
    again = tithe("train", "--resume", "--out", out, "--json")
    assert again.report["sparse"]["search"] == found
    assert "10 of them done already" in again.stderr
    assert tithe("train", *words, "--method", "search", "--out", out).refused("already holds a search", "--resume")
    assert tithe("train", *words, "--out", out).refused("no run of tithe", "--out")
    both = [*words, "--method", "search", "--compare", "dense"]
    assert tithe("train", *both, "--out", tmp_path / "b").refused("leave --compare out", "tithe compare")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine.txt").touch()
    refused = tithe("train", *words, "--method", "search", "--out", tmp_path / "c")
    assert refused.refused("holds other files")
