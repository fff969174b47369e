"""`tithe train` as its user meets it: what it prints, what it writes, what it refuses."""

import fcntl
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cli.command import SMALL, Tithe, final_tensors
from tithe.cli import status
from tithe.methods import METHODS
from tithe.train.results import UNITS


def test_json_is_one_object_and_the_same_as_the_report(tithe: Tithe, tmp_path):
    out = tmp_path / "run"
    outcome = tithe("train", *SMALL, "--out", out, "--json")
    assert outcome.status == 0
    report = outcome.report
    assert report == json.loads((out / "report.json").read_text())
    assert set(report) == {
        *("format", "tithe", "data", "model", "method", "recipe", "machine", "plan", "sparse", "dense", "ratios"),
        "units",
    }
    assert (report["data"]["name"], report["model"], report["method"]) == ("digits", "mlp:24-16", "sparse-momentum")
    for half in ("sparse", "dense"):
        figures = {name for name, value in report[half].items() if not isinstance(value, dict | list | None)}
        assert figures == set(UNITS) - {"accuracy_points"}
        assert len(report[half]["history"]) == report[half]["epochs"] == 3
        rows = [json.loads(line) for line in (out / half / "metrics.jsonl").read_text().splitlines()]
        assert rows == report[half]["history"]
    assert report["sparse"]["nnz"] == round(0.05 * report["sparse"]["logical_weights"])
    assert report["dense"]["nnz"] == report["dense"]["logical_weights"] == 64 * 24 + 24 * 16 + 16 * 10
    assert report["ratios"]["nnz"] == report["sparse"]["nnz"] / report["dense"]["nnz"]
    kept = report["sparse"]["first_layer_inputs"]
    assert kept["shape"] == [1, 8, 8]
    assert [len(row) for row in kept["kept"]] == [8] * 8
    assert sum(map(sum, kept["kept"])) == report["sparse"]["layers"][0]["nnz"]
    assert report["dense"]["first_layer_inputs"] is None
    assert {"curves.png", "first-layer.png"} <= {path.name for path in out.iterdir()}


def test_the_table_goes_to_stdout_and_progress_to_stderr(tithe: Tithe, tmp_path):
    outcome = tithe("train", *SMALL, "--out", tmp_path / "run")
    assert outcome.status == 0
    assert "test accuracy" in outcome.stdout
    assert "sparse / dense" in outcome.stdout
    assert [line.split()[:3] for line in outcome.stderr.splitlines()] == [
        [half, "epoch", f"{epoch}/3"] for half in ("sparse", "dense") for epoch in (1, 2, 3)
    ]


def test_compare_none_trains_only_sparse_and_dense_can_follow(tithe: Tithe, tmp_path):
    alone = tithe("train", *SMALL, "--out", tmp_path / "run", "--compare", "none", "--json").report
    assert (alone["dense"], alone["ratios"]) == (None, None)
    assert not (tmp_path / "run" / "dense").exists()
    both = tithe("train", "--out", tmp_path / "run", "--resume", "--compare", "dense", "--json").report
    assert both["sparse"] == alone["sparse"]
    assert both["dense"]["epochs"] == 3


def test_the_same_seed_gives_the_same_weights_and_another_one_others(tithe: Tithe, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert tithe("train", *SMALL, "--epochs", 1, "--out", tmp_path / name, "--seed", seed).status == 0
    one, same, other = (final_tensors(tmp_path / name) for name in "abc")
    assert one == same
    assert one["sparse"] != other["sparse"]
    assert one["dense"] != other["dense"]


def test_a_finished_run_is_refused_without_resume_and_shown_again_with_it(tithe: Tithe, tmp_path):
    out = tmp_path / "run"
    first = tithe("train", *SMALL, "--out", out, "--json")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert tithe("train", *SMALL, "--out", out).refused("already holds a finished run", "--resume", "--out")
    assert tithe("train", "--resume", "--out", out, "--json").report == first.report
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_resuming_under_another_recipe_or_on_other_data_is_refused(tithe: Tithe, tmp_path):
    tithe("train", *SMALL, "--out", tmp_path / "run", "--compare", "none")
    for option, value, words in (
        ("--density", "0.1", "density 0.05, not 0.1"),
        ("--epochs", "4", "epochs 3, not 4"),
        ("--model", "mlp:9", "model mlp:24-16, not mlp:9"),
        ("--seed", "1", "seed 0, not 1"),
    ):
        assert tithe("train", "--resume", "--out", tmp_path / "run", option, value).refused(words, "--out")
    path = _npz(tmp_path / "other.npz")
    assert tithe("train", path, "--resume", "--out", tmp_path / "run").refused("on other data (digits)")


def test_bf16_is_in_the_recipe_and_stays_when_the_run_is_resumed(tithe: Tithe, tmp_path):
    out = tmp_path / "run"
    alone = tithe("train", *SMALL, "--out", out, "--bf16", "--compare", "none", "--json").report
    assert alone["recipe"]["bf16"] is True
    for options in ([], ["--bf16"]):
        again = tithe("train", "--out", out, "--resume", *options, "--json")
        assert again.report == alone
    full = tithe("train", *SMALL, "--out", tmp_path / "full", "--compare", "none", "--json").report
    assert full["recipe"]["bf16"] is False
    assert full["sparse"]["training_flop"] == alone["sparse"]["training_flop"]
    assert final_tensors(tmp_path / "full") != final_tensors(out)
    assert tithe("train", "--out", tmp_path / "full", "--resume", "--bf16").refused("bf16 False, not True")


def test_a_run_from_before_bf16_goes_on_in_float32(tithe: Tithe, tmp_path):
    tithe("train", *SMALL, "--out", tmp_path / "whole", "--compare", "none")
    old = tmp_path / "old"
    shutil.copytree(tmp_path / "whole", old)
    (old / "report.json").unlink()
    record = json.loads((old / "run.json").read_text())
    del record["recipe"]["bf16"]
    (old / "run.json").write_text(json.dumps(record))
    assert "bf16" not in json.loads((old / "sparse" / "checkpoint.json").read_text())["body"]["identity"]
    assert tithe("train", "--out", old, "--resume", "--compare", "none", "--json").report["recipe"]["bf16"] is False
    assert final_tensors(old) == final_tensors(tmp_path / "whole")


def test_resume_with_nothing_there_begins(tithe: Tithe, tmp_path):
    assert tithe("train", *SMALL, "--resume", "--out", tmp_path / "run").status == 0


def _npz(path: Path, **changes: np.ndarray) -> Path:
    dice = np.random.default_rng(0)
    arrays = {
        "x_train": dice.normal(size=(40, 6)).astype(np.float32),
        "y_train": np.arange(40) % 3,
        "x_test": dice.normal(size=(9, 6)).astype(np.float32),
        "y_test": np.arange(9) % 3,
    }
    np.savez(path, **(arrays | changes))
    return path


def test_an_npz_of_ones_own_trains_with_a_model_of_ones_own(tithe: Tithe, tmp_path, monkeypatch):
    (tmp_path / "mynets.py").write_text(
        "from torch import nn\n"
        "def make(input_shape, classes):\n"
        "    return nn.Sequential(nn.Linear(input_shape[0], 50), nn.Dropout(0.5), nn.ReLU(), nn.Linear(50, classes))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    arguments = [_npz(tmp_path / "mine.npz"), "--model", "mynets:make", "--epochs", "2", "--density", "0.5"]
    report = tithe("train", *arguments, "--out", tmp_path / "run", "--json").report
    assert [layer["name"] for layer in report["sparse"]["layers"]] == ["0", "3"]
    assert report["sparse"]["first_layer_inputs"] is None


_BAD_OPTIONS = {
    "density 0": (["--density", "0"], ["density 0", "above 0 and at most 1"]),
    "density > 1": (["--density", "1.5"], ["density 1.5", "above 0 and at most 1"]),
    "density NaN": (["--density", "nan"], ["density nan", "above 0 and at most 1"]),
    "density too small": (["--density", "1e-6"], ["density"]),
    "model": (["--model", "lenet-6"], ["lenet-6", "lenet-5"]),
    "method": (["--method", "sparse-moment"], ["sparse-moment", "sparse-momentum"]),
    "data set": (["mnits"], ["mnits", "mnist"]),
    "budget": (["--budget", "erks"], ["erks", "uniform"]),
    "compare": (["--compare", "sparse"], ["compare", "none"]),
    "augment": (["--augment", "flip"], ["augment", "crop-flip"]),
    "epochs": (["--epochs", "0"], ["epochs 0", "1 or more"]),
    "batch size": (["--batch-size", "-5"], ["batch size -5", "1 or more"]),
    "learning rate": (["--lr", "-1"], ["learning rate -1", "above 0"]),
    "threads": (["--threads", "0"], ["threads 0", "1 or more"]),
    "seed": (["--seed", "-1"], ["seed -1", "0 to"]),
    "a word for a number": (["--epochs", "two"], ["two", "tithe train --help"]),
    "an option that is none": (["--sparsity", "0.9"], ["--sparsity", "tithe train --help"]),
}


@pytest.mark.parametrize(("arguments", "words"), _BAD_OPTIONS.values(), ids=_BAD_OPTIONS)
def test_a_bad_option_is_one_sentence_and_nothing_is_written(tithe: Tithe, tmp_path, arguments, words):
    assert tithe("train", "--out", tmp_path / "run", *arguments).refused(*words)
    assert list(tmp_path.iterdir()) == []


_NAN = np.full((40, 6), np.nan, np.float32)
_BAD_ARRAYS = {
    "labels out of range": ({"y_test": np.arange(9)}, ["y_test", "0 to 2"]),
    "non-finite values": ({"x_train": _NAN}, ["x_train"]),
    "wrong shape": ({"x_test": np.zeros((9, 5), np.float32)}, ["x_test"]),
    "no examples": ({"x_train": np.zeros((0, 6), np.float32), "y_train": np.zeros(0, int)}, ["x_train"]),
}


@pytest.mark.parametrize(("changes", "words"), _BAD_ARRAYS.values(), ids=_BAD_ARRAYS)
def test_bad_data_are_one_sentence_and_nothing_is_written(tithe: Tithe, tmp_path, changes, words):
    path = _npz(tmp_path / "bad.npz", **changes)
    assert tithe("train", path, "--out", tmp_path / "run").refused("bad.npz", *words)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("size", [0, 300])
def test_an_empty_or_truncated_file_is_one_sentence(tithe: Tithe, tmp_path, size):
    path = _npz(tmp_path / "short.npz")
    path.write_bytes(path.read_bytes()[:size])
    assert tithe("train", path, "--out", tmp_path / "run").refused("short.npz")
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(tithe: Tithe, tmp_path):
    (tmp_path / "thesis.tex").touch()
    assert tithe("train", *SMALL, "--out", tmp_path).refused("holds other files", "--out")
    assert tithe("train", *SMALL, "--out", tmp_path / "thesis.tex").refused("is a file", "--out")
    assert tithe("train", *SMALL, "--out", tmp_path / "thesis.tex" / "run").refused("thesis.tex is a file", "--out")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; test_disk has a read-only mount for root")
def test_a_folder_without_write_permission_is_refused(tithe: Tithe, tmp_path):
    tmp_path.chmod(0o500)
    assert tithe("train", *SMALL, "--out", tmp_path / "run").refused("not writable", "--out")
    tmp_path.chmod(0o700)


def test_a_folder_in_which_another_process_trains_is_refused(tithe: Tithe, tmp_path):
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)  # the weakest lock that a process which must be alone may not share
    assert tithe("train", *SMALL, "--out", tmp_path).refused("another process is training in")
    os.close(handle)
    assert tithe("train", *SMALL, "--out", tmp_path).status == 0


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed after its last epoch, before its report."""
    out = tmp_path_factory.mktemp("unfinished") / "run"
    assert status(["train", *SMALL, "--out", str(out), "--compare", "none"]) == 0
    (out / "report.json").unlink()
    return out


@pytest.mark.parametrize("damage", ["flip", "truncate", "pickle", "remove"])
@pytest.mark.parametrize("name", ["checkpoint.json", "checkpoint-3.safetensors", "run.json"])
def test_a_damaged_run_is_not_resumed(tithe: Tithe, tmp_path, unfinished, name, damage):
    out = shutil.copytree(unfinished, tmp_path / "run")
    path = out / name if name == "run.json" else out / "sparse" / name
    content = path.read_bytes()
    if damage == "remove":
        path.unlink()
    elif damage == "pickle":
        path.write_bytes(pickle.dumps({"state": 1}))
    elif damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])
    if (name, damage) == ("checkpoint.json", "remove"):  # as if no epoch had been finished
        assert tithe("train", "--resume", "--out", out).status == 0
    else:
        assert tithe("train", "--resume", "--out", out).refused(str(out))


def test_a_checkpoint_of_another_model_is_refused(tithe: Tithe, tmp_path):
    for name, model in (("a", "mlp:24-16"), ("b", "mlp:24-17")):
        tithe("train", *SMALL, "--model", model, "--out", tmp_path / name, "--compare", "none")
    (tmp_path / "a" / "report.json").unlink()
    for path in (tmp_path / "a" / "sparse").iterdir():
        path.unlink()
    for path in (tmp_path / "b" / "sparse").iterdir():
        path.rename(tmp_path / "a" / "sparse" / path.name)
    assert tithe("train", "--resume", "--out", tmp_path / "a").refused("its model is 'mlp:24-17', not 'mlp:24-16'")


def test_a_loss_that_is_not_finite_ends_with_status_1_step_and_layer(tithe: Tithe, tmp_path):
    outcome = tithe("train", *SMALL, "--lr", "1e30", "--out", tmp_path / "run")
    assert (outcome.status, outcome.stdout) == (1, "")
    assert len(outcome.stderr.splitlines()) == 1
    for word in ("tithe: sparse: ", "at step 2", "layer 'fc", "--lr"):
        assert word in outcome.stderr


def test_help_names_every_option_and_example(tithe: Tithe):
    shown = tithe("train", "--help")
    assert shown.status == 0
    for word in ("--data-dir", "--density", "--resume", "--json", "Examples:", "Exit status:"):
        assert word in shown.stdout
    assert "train" in tithe("--help").stdout
    assert tithe("--version").stdout.startswith("tithe ")


def test_python_runs_the_command_too():
    command = [sys.executable, "-m", "tithe", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("tithe ")


def test_help_lists_every_method_with_a_line(tithe: Tithe):
    shown = " ".join(tithe("train", "--help").stdout.split())
    for entry in METHODS.values():
        assert f"{entry.name} {entry.line}" in shown


def test_methods_train_and_unknown_ones_are_refused(tithe: Tithe, tmp_path):
    small = ["--model", "mlp:24-16", "--epochs", 2, "--batch-size", 32, "--threads", 1, "--compare", "none", "--json"]
    report = tithe("train", *small, "--method", "one-shot", "--out", tmp_path / "a").report
    assert report["method"] == "one-shot"
    assert report["recipe"]["budget"] == "global"
    assert report["sparse"]["nnz"] == round(0.05 * report["sparse"]["logical_weights"])
    small_dense = tithe("train", *small, "--method", "small-dense", "--density", 0.3, "--out", tmp_path / "b").report
    assert small_dense["sparse"]["logical_weights"] == 64 * 24 + 24 * 16 + 16 * 10
    assert 0.2 < small_dense["sparse"]["density"] <= 0.3
    assert tithe("train", "--method", "rigel", "--out", tmp_path / "c").refused("did you mean rigl?")
    assert tithe("train", "--method", "static", "--rate", 0.3, "--out", tmp_path / "c").refused("has no rate")
    assert not (tmp_path / "c").exists()
