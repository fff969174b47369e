"""`tithe plan`, and `tithe train` held against it."""

import json

import pytest

from cli.command import SMALL, Tithe
from tithe.cost import ledger


def test_help_shows_an_example(tithe: Tithe):
    outcome = tithe("plan", "--help")
    assert outcome.status == 0
    assert "tithe plan imagenet --model resnet50" in outcome.stdout


def test_a_plan_in_words_and_tables(tithe: Tithe):
    outcome = tithe("plan", "--model", "mlp:24-16", "--device-memory", "1GB")
    assert outcome.status == 0, outcome
    for words in ("mlp:24-16 on digits", "activations", "training FLOP", "CO2", "It fits in 1.00 GB", "on chip"):
        assert words in outcome.stdout, words
    assert outcome.stderr == ""


def test_json_is_one_object(tithe: Tithe):
    plan = tithe("plan", "mnist", "--density", "0.02", "--json").report
    assert (plan["model"], plan["data"], plan["batch_size"], plan["epochs"]) == ("lenet-300-100", "mnist", 100, 20)
    weights = 784 * 300 + 300 * 100 + 100 * 10
    assert plan["dense"]["flop"]["value"] == 2 * 20 * 60_000 * (3 * weights - 784 * 300)
    assert plan["dense"]["flop"]["how"] == "counted"
    assert plan["sparse"]["density"] == pytest.approx(0.02)


def test_a_named_device_and_workers(tithe: Tithe):
    plan = tithe("plan", "cifar10", "--on", "a100", "--workers", 4, "--optimizer", "adam", "--json").report
    assert plan["rates"]["device"] == "a100-80gb"
    assert plan["fit"]["memory"]["value"] == 80e9
    gradients = plan["sparse"]["memory"]["gradients"]["value"]
    assert plan["sparse"]["exchanged"]["value"] == 1.5 * gradients


def test_data_that_are_not_there_yet(tithe: Tithe):
    plan = tithe("plan", "--data", "30:4:1000", "--model", "mlp:5", "--batch-size", 10, "--epochs", 1, "--json").report
    assert plan["steps"] == 100
    assert plan["dense"]["step_flop"]["value"] == 2 * 10 * (2 * 30 * 5 + 3 * 5 * 4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "lenet5"], ["unknown model 'lenet5'", "did you mean lenet-5"]),
        (["--on", "h101"], ["hardware 'h101' is not known", "h100"]),
        (["--optimizer", "sdg"], ["did you mean sgd"]),
        (["--device-memory", "24 apples"], ["'24 apples'", "24GB or 24GiB"]),
        (["mnist", "--data", "digits"], ["both given"]),
        (["--calibrate", "--on", "t4"], ["leave out one of the two"]),
        (["--workers", "0"], ["give 1 or more"]),
        (["--density", "0"], ["above 0"]),
        (["--batch-size", "0"], ["give 1 or more"]),
        (["mnst"], ["did you mean mnist"]),
        (["3x8:2:10"], ["CxHxW:CLASSES:EXAMPLES"]),
        (["--country", "XYZ"], ["country 'xyz' is not known"]),
        (["--utilisation", "1"], ["No such option"]),
    ],
)
def test_bad_input_gets_a_sentence(tithe: Tithe, arguments, words):
    assert tithe("plan", *arguments).refused(*words)


def test_training_is_held_against_its_plan_and_both_are_stored(tithe: Tithe, tmp_path, monkeypatch):
    monkeypatch.setenv(ledger.ENVIRONMENT, str(tmp_path / "ledger.sqlite"))
    out = tmp_path / "run"
    outcome = tithe("train", *SMALL, "--out", out)
    assert "The plan, checked" in outcome.stdout
    report = json.loads((out / "report.json").read_text())
    for half in ("sparse", "dense"):
        checks = report[half]["plan"]
        assert set(checks) == {"flop", "seconds", "held", "held_peak"}
        for name, check in checks.items():
            assert check["ratio"] == check["measured"]["value"] / check["predicted"]["value"], name
        assert checks["held"]["ratio"] == checks["held_peak"]["ratio"] == 1
        assert checks["flop"]["measured"]["value"] == report[half]["training_flop"]
    assert report["dense"]["plan"]["flop"]["ratio"] == 1
    assert report["sparse"]["plan"]["flop"]["ratio"] == pytest.approx(1, rel=0.2)
    assert [run.more["plan"] for run in ledger.read(tmp_path / "ledger.sqlite")] == [
        report["sparse"]["plan"],
        report["dense"]["plan"],
    ]
    assert tithe("train", "--resume", "--out", out, "--json").report == report


def test_a_plan_changes_no_bit_of_the_training(tithe: Tithe, tmp_path):
    runs = [
        tithe("train", *SMALL, "--out", tmp_path / flag, f"--{flag}", "--json").report for flag in ("plan", "no-plan")
    ]
    assert runs[1]["plan"] is None
    assert runs[1]["sparse"]["plan"] is None
    for half in ("sparse", "dense"):
        losses = [[epoch["loss"] for epoch in run[half]["history"]] for run in runs]
        assert losses[0] == losses[1]


def test_without_redistribution_the_sparse_flop_are_exact(tithe: Tithe, tmp_path):
    arguments = [*SMALL, "--compare", "none", "--out", tmp_path / "run", "--json", "--no-redistribute"]
    report = tithe("train", *arguments).report
    assert report["sparse"]["rewirings"] > 0
    assert report["sparse"]["plan"]["flop"]["ratio"] == 1


def test_without_rewiring_the_sparse_flop_are_exact(tithe: Tithe, tmp_path):
    arguments = [*SMALL[:-1], "10000", "--compare", "none", "--out", tmp_path / "run", "--json"]
    assert tithe("train", *arguments).report["sparse"]["plan"]["flop"]["ratio"] == 1
