"""`tithe study` where it trains networks: its options reach the study, or are refused."""

from __future__ import annotations

import json

from cli.command import Tithe

FEW = ["--data", "digits", "--model", "mlp:24-16", "--seeds", 2, "--epochs", 1, "--threads", 1]


def test_lists_with_commas_reach_the_study(tithe: Tithe, tmp_path):
    out = tmp_path / "s"
    words = [*FEW, "--methods", "static,dense", "--density", "0.2,0.3", "--out", out, "--json"]
    outcome = tithe("study", "sparse-momentum", *words)
    assert outcome.status == 0, outcome
    rows = outcome.report["tables"]["errors"]["rows"]
    assert [(row["method"], row["density"]) for row in rows] == [("static", 0.2), ("static", 0.3), ("dense", 1.0)]
    assert outcome.report == json.loads((out / "study.json").read_bytes())
    assert not outcome.report["claims"], "sparse momentum was not trained"
    again = tithe("study", "sparse-momentum", *words)
    assert "6 runs, 6 of them done already" in again.stderr


def test_a_search_is_one_of_the_tactics(tithe: Tithe, tmp_path):
    outcome = tithe(
        "study", "tactics", *FEW, "--methods", "search", "--density", 0.3, "--out", tmp_path / "s", "--json"
    )
    assert outcome.status == 0, outcome
    assert {row["tactic"] for row in outcome.report["tables"]["tactics-digits"]["rows"]} == {"dense", "search 30 %"}


def test_a_search_of_widths_is_gone_on_with(tithe: Tithe, tmp_path):
    words = ["--data", "digits", "--model", "vgg-like", "--density", 0.001, "--seeds", 2, "--epochs", 1, "--threads", 1]
    words += ["--methods", "search", "--out", tmp_path / "s"]
    assert tithe("study", "sparse-momentum", *words).status == 0
    again = tithe("study", "sparse-momentum", *words)
    assert again.status == 0, again
    assert "2 runs, 2 of them done already" in again.stderr


def test_each_training_is_told_its_recipe(tithe: Tithe, tmp_path):
    words = [*FEW, "--methods", "static", "--density", 0.3, "--out", tmp_path / "s"]
    more = ["--lr", 0.07, "--batch-size", 99, "--augment", "crop-flip"]
    assert tithe("study", "sparse-momentum", *words, *more).status == 0
    for path in (tmp_path / "s").glob("runs/*/*/report.json"):
        recipe = json.loads(path.read_bytes())["recipe"]
        assert (recipe["lr"], recipe["batch_size"], recipe["augment"]) == (0.07, 99, "crop-flip")
    again = tithe("study", "sparse-momentum", *words)
    assert again.status == 2
    assert "holds a run with batch_size 99, not 32; choose another --out" in again.stderr


def test_bad_input_is_refused(tithe: Tithe, tmp_path):
    out = tmp_path / "s"
    assert tithe("study", "tactics", *FEW, "--lr", -1, "--out", out).refused("learning rate -1")
    assert tithe("study", "theory", "--lr", 1, "--out", out).refused("study theory has no --lr", "tactics")
    assert tithe("study", "vanishing", "--epochs", 3, "--out", out).refused("no --epochs", "--seeds")
    assert tithe("study", "sparse-momentum", "--inferences", 9, "--out", out).refused("--inferences", "tactics")
    assert tithe("study", "tactics", *FEW, "--density", "x", "--out", out).refused("--density x")
    assert tithe("study", "tactics", *FEW, "--inferences", -1, "--out", out).refused("--inferences -1")
    assert tithe("study", "tactics", *FEW, "--methods", "l2", "--out", out).refused("l2", "choose one of")
    assert not list(out.glob("runs/*/*"))


def test_help_lists_the_studies(tithe: Tithe):
    said = tithe("study", "--help").stdout
    assert all(name in said for name in ("tactics", "sparse-momentum", "vanishing"))
