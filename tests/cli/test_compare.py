"""`tithe compare` as its user meets it: the answer, as JSON, as tables and as a page."""

from __future__ import annotations

import io

import pytest
from report.test_page import FORBIDDEN, read, text
from rich.console import Console

from cli.command import Tithe
from cli.comparison import SMALL, TWO, learned, result, stamps
from tithe.compare import run as compare_run
from tithe.report import comparison
from tithe.report.compared import MOST_CROSSINGS, tables


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
    assert "not told apart" in more["says"][-1]


def test_the_tables_and_the_answer_fit_80_columns(tithe: Tithe, whole, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    outcome = tithe("compare", "--resume", "--out", whole)
    for word in ("test error", "measured", "counted", "modelled", "In total: money of", "Lowest test error", "±"):
        assert word in outcome.stdout
    assert "…" not in outcome.stdout
    assert "NO-BREAK" not in ascii(outcome.stdout)
    *lines, _, last = outcome.stdout.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "result.json" in last


def test_tables_of_every_method_fit_80_columns(whole):
    """The widest that there can be: the longest name, epochs found by trials, hours, many pairs that change places."""
    found = result(whole)
    tactics = list(found["tactics"].values())
    for tactic in tactics:
        tactic["training"]["seconds"] |= {"value": 359940.0, "low": 3e5, "high": 4e5}
        tactic["error"] |= {"value": 0.1234, "low": 0.0, "high": 0.2468}
    found["tactics"] = {f"gradual-magnitude {n / 10:.1f} %": tactics[n % 3] | {"epochs": n} for n in range(1, 17)}
    answer = {"inferences": 123456789.0, "beyond_noise": False}
    found["overtakes"] = {who: {whom: answer for whom in found["tactics"] if whom != who} for who in found["tactics"]}
    console = Console(width=80, file=io.StringIO())
    for table in tables(found):
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "…" not in shown
    assert "gradual-magnitude 1.6 %" in shown
    assert f"{240 - MOST_CROSSINGS} more" in shown
    assert "99 h 59 min" in shown


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
    for word in ("measured", "counted", "modelled", "assumed", "Welch", "Holm", "Who overtakes whom"):
        assert word in said
    assert html == comparison.render(found)


def test_what_users_named_is_text(whole):
    found = result(whole)
    found["data"]["name"] = "<script>alert(1)</script>"
    assert "<script>" not in comparison.render(found)


def test_every_default_method_is_known():
    from tithe.compare.tactics import combined

    assert len(combined(compare_run.DEFAULT_METHODS, compare_run.DEFAULT_DENSITIES)) == 5
