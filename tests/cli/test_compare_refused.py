"""What `tithe compare` refuses, and with what sentence."""

from __future__ import annotations

import pytest

from cli.command import Outcome, Tithe
from cli.comparison import TWO, stamps


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--methods", "rigle"], ["rigle", "did you mean rigl?"]),
        (["--methods", "small-dense", "--model", "mlp:24", "--density", 0.001], ["none of the methods", "density"]),
        (["--density", "1.5"], ["1.5", "above 0"]),
        (["--density", "0.1,0"], ["density 0 ", "above 0"]),
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
        (["--model", "lenet-300-10"], ["lenet-300-10", "did you mean lenet-300-100"]),
        (["--budget", "flop", "--budget", "3epochs"], ["contradict", "flop and 3epochs"]),
        (["--lr", 0], ["learning rate 0"]),
        (["--report", "/no/such/folder/x.html"], ["/no/such/folder"]),
        (["--report", "/"], ["is a folder"]),
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
