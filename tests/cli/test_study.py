"""`tithe study` as its user meets it."""

from __future__ import annotations

import csv
import json

import numpy as np

from cli.command import Tithe


def test_a_study_writes_its_tables_and_picture_and_says_what_the_numbers_say(tithe: Tithe, tmp_path):
    out = tmp_path / "s"
    outcome = tithe("study", "theory", "--quick", "--out", out)
    assert outcome.status == 0, outcome
    assert "Claimed in: Thompson" in outcome.stdout
    found = json.loads((out / "study.json").read_bytes())
    for claim in found["claims"]:
        assert claim["verdict"] in ("holds", "does not hold", "not decided")
        assert claim["claim"].split()[0] in outcome.stdout
        assert claim["figures"]
        for figure in claim["figures"].values():
            assert figure["unit"]
            assert figure["how"] in ("measured", "counted", "modelled", "assumed")
    for name, table in found["tables"].items():
        with (out / f"{name}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [set(row) for row in rows] == [set(table["columns"])] * len(table["rows"])
    for picture in found["pictures"]:
        assert (out / picture).read_bytes().startswith(b"\x89PNG")


def test_json_is_one_object_and_the_second_time_nothing_is_measured(tithe: Tithe, tmp_path):
    words = ["study", "theory", "--quick", "--seeds", 2, "--out", tmp_path / "s", "--json"]
    first = tithe(*words)
    assert first.report == json.loads((tmp_path / "s" / "study.json").read_bytes())
    again = tithe(*words)
    assert again.stdout == first.stdout
    assert again.stderr == "6 curves, 6 of them done already\n"


def test_bad_input_is_refused(tithe: Tithe, tmp_path):
    out = tmp_path / "s"
    assert tithe("study", "theroy").refused("theroy", "did you mean theory")
    assert tithe("study", "theory", "--data", "x", "--out", out).refused("no --data", "--seeds")
    assert tithe("study", "theory", "--seeds", 1, "--out", out).refused("--seeds 1", "interval")
    assert tithe("study").refused("NAME")
    assert not out.exists()


def test_help_lists_the_studies(tithe: Tithe):
    assert "theory" in tithe("study", "--help").stdout


def test_a_study_without_its_data_says_where_they_are(tithe: Tithe, tmp_path):
    out = ["--out", tmp_path / "s" / "t", "--quick"]
    tabular = tithe("study", "expert-or-flexible", "--data", tmp_path / "madelon.npz", *out)
    assert tabular.refused("madelon.npz does not exist", "scikit-feature")
    published = tithe("study", "new-test-set", "--published", tmp_path, *out)
    assert published.refused("results-imagenet.csv", "github.com/huggingface/pytorch-image-models")
    images = tithe("study", "new-test-set", "--data", "mnist", "--data-dir", tmp_path, *out)
    assert images.refused("mnist is not in", "--download")
    assert tithe("study", "new-test-set", "--data", "digit", *out).refused("did you mean digits")
    assert not (tmp_path / "s").exists()


def test_a_table_is_no_set_of_images(tithe: Tithe, tmp_path):
    x, y = np.zeros((8, 3)), np.arange(8) % 2
    np.savez(tmp_path / "t.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    outcome = tithe("study", "new-test-set", "--data", tmp_path / "t.npz", "--out", tmp_path / "s")
    assert outcome.refused("[3]", "images")


def test_a_killed_study_repeats_no_network(tithe: Tithe, tmp_path):
    words = ["study", "new-test-set", "--quick", "--out", tmp_path / "s", "--json"]
    first = tithe(*words)
    assert first.status == 0, first
    measured = tmp_path / "s" / "measured.jsonl"
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "s" / "runs").rglob("*")}
    measured.write_text("".join(measured.read_text().splitlines(keepends=True)[:2]))
    again = tithe(*words)
    assert "6 networks, 2 of them done already" in again.stderr
    assert again.stdout == first.stdout
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "s" / "runs").rglob("*")} == stamps
