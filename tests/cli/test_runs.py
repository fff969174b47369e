"""`tithe runs`, and that `tithe train` records what it did."""

import csv
import io
import json
import math
from pathlib import Path

import pytest

from cli.command import SMALL, Tithe
from tithe.cost import ledger
from tithe.cost.run import COLUMNS


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger of this test's own."""
    where = tmp_path / "ledger" / "mine.sqlite"
    monkeypatch.setenv(ledger.ENVIRONMENT, str(where))
    return where


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Somebody else's runs."""
    file = tmp_path / "results.csv"
    file.write_text("model,Top-1,compute,year,notes\na,23.5,1e18,2015,x\nb,22,2e18,2016,\nc,20,4e18,,y\n")
    return file


def test_both_halves_of_a_run_are_recorded_with_what_they_took(tithe: Tithe, tmp_path, path):
    report = tithe("train", *SMALL, "--out", tmp_path / "run", "--seed", 3, "--json").report
    sparse, dense = ledger.read(path)
    for half, run in (("sparse", sparse), ("dense", dense)):
        figures = report[half]
        assert (run.half, run.data, run.model, run.seed, run.status) == (half, "digits", "mlp:24-16", 3, "finished")
        assert run.error == pytest.approx(1 - figures["accuracy"])
        assert (run.flop, run.seconds, run.parameters) == (figures["training_flop"], figures["seconds"], figures["nnz"])
        assert run.kwh == figures["bill"]["kwh"]["value"]
        assert [point.error for point in run.curve] == [1 - row["accuracy"] for row in figures["history"]]
        assert run.more["recipe"] == report["recipe"]
    assert sparse.run == dense.run


def test_a_run_is_recorded_once_however_often_it_is_resumed(tithe: Tithe, tmp_path, path):
    out = tmp_path / "run"
    assert tithe("train", *SMALL, "--out", out, "--compare", "none").status == 0
    assert len(ledger.read(path)) == 1
    assert tithe("train", "--out", out, "--resume").status == 0
    assert tithe("train", "--out", out, "--resume", "--compare", "dense").status == 0
    assert [run.half for run in ledger.read(path)] == ["sparse", "dense"]


def test_a_run_that_diverged_is_recorded_as_that(tithe: Tithe, tmp_path, path):
    assert tithe("train", *SMALL, "--out", tmp_path / "run", "--lr", 1e30).status == 1
    (run,) = ledger.read(path)
    assert (run.status, run.error) == ("diverged", None)
    assert "diverged" in tithe("runs").stdout


@pytest.mark.parametrize("how", ["option", "environment"])
def test_recording_can_be_switched_off(tithe: Tithe, tmp_path, path, monkeypatch, how):
    options = ["--no-ledger"] if how == "option" else []
    if how == "environment":
        monkeypatch.setenv(ledger.ENVIRONMENT, "off")
    outcome = tithe("train", *SMALL, "--out", tmp_path / "run", "--compare", "none", *options)
    assert outcome.status == 0
    assert "ledger" not in outcome.stderr
    assert not path.exists()


@pytest.mark.filterwarnings("always")
@pytest.mark.parametrize("trouble", ["unwritable", "foreign"])
def test_a_ledger_that_cannot_be_written_does_not_cost_the_run(tithe: Tithe, tmp_path, path, trouble):
    path.parent.mkdir()
    path.mkdir() if trouble == "unwritable" else path.write_bytes(b"not a ledger " * 100)
    outcome = tithe("train", *SMALL, "--out", tmp_path / "run", "--compare", "none", "--json")
    assert outcome.status == 0
    assert outcome.report["sparse"]["accuracy"] > 0
    (warned,) = [line for line in outcome.stderr.splitlines() if "warning" in line]
    assert "the sparse half is finished, but it is not in the ledger" in warned
    assert "set TITHE_LEDGER" in warned


def test_without_a_ledger_there_is_nothing_to_list(tithe: Tithe, path):
    outcome = tithe("runs")
    assert (outcome.status, outcome.stdout) == (0, f"No runs yet: {path} does not exist.\n")
    assert tithe("runs", "--json").report == []


def test_other_peoples_runs_are_taken_once(tithe: Tithe, path, results):
    options = ["--column", "error=Top-1", "--percent", "--data", "imagenet"]
    assert f"3 runs are new in {path}." in tithe("runs", "import", results, *options).stdout
    assert "0 runs are new" in tithe("runs", "import", results, *options).stdout
    first, _, last = tithe("runs", "data=imagenet", "--json").report
    assert (first["error"], first["flop"], first["year"], first["half"]) == (0.235, 1e18, 2015, "imported")
    assert first["more"] == {"notes": "x"}
    assert last["year"] is None


def test_runs_are_listed_filtered_sorted_and_exported(tithe: Tithe, path, results):
    tithe("runs", "import", results, "--column", "error=Top-1", "--percent")
    assert [run["model"] for run in tithe("runs", "error<0.23", "--sort", "error", "--json").report] == ["c", "b"]
    assert [run["model"] for run in tithe("runs", "--limit", 2, "--json").report] == ["b", "c"]
    rows = list(csv.DictReader(io.StringIO(tithe("runs", "model~[ab]", "--csv").stdout)))
    assert [row["model"] for row in rows] == ["a", "b"]
    assert set(rows[0]) == {"id", *COLUMNS}
    table = tithe("runs", "--limit", 2).stdout
    assert "2 runs of 3; --limit shows more" in table
    assert "No runs" in tithe("runs", "model=z").stdout


def test_exported_runs_can_be_imported(tithe: Tithe, tmp_path, path, results, monkeypatch):
    tithe("runs", "import", results, "--column", "error=Top-1", "--percent")
    before = tithe("runs", "--json").report
    (tmp_path / "copy.csv").write_text(tithe("runs", "--csv").stdout)
    monkeypatch.setenv(ledger.ENVIRONMENT, str(tmp_path / "other.sqlite"))
    assert tithe("runs", "import", tmp_path / "copy.csv").status == 0
    same = ("model", "error", "flop", "year", "half")
    assert [[run[name] for name in same] for run in tithe("runs", "--json").report] == [
        [run[name] for name in same] for run in before
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dnsity=1"], ["did you mean density"]),
        (["mnist"], ["no condition", "FIELD=VALUE"]),
        (["--sort", "eror"], ["did you mean error"]),
        (["--limit", "0"], ["1 or more"]),
        (["--csv", "--json"], ["choose one"]),
        (["import", "missing.csv"], ["cannot read missing.csv"]),
        (["import", "FILE", "--column", "error"], ["FIELD=COLUMN"]),
        (["import", "FILE", "--column", "eror=Top-1"], ["did you mean error"]),
        (["import", "FILE", "--column", "error=Top1"], ["did you mean Top-1"]),
        (["import", "FILE"], ["error=COLUMN"]),
        (["import", "FILE", "--column", "error=Top-1"], ["line 2", "outside (0, 1]", "--percent"]),
    ],
)
def test_bad_input_is_refused_in_a_sentence(tithe: Tithe, path, results, arguments, words):
    assert tithe("runs", *[results if word == "FILE" else word for word in arguments]).refused(*words)
    assert not path.exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a,0,1e18", ["line 3", "outside (0, 1]"]),
        ("a,nan,1e18", ["line 3", "no error"]),
        ("a,0.1,-5", ["line 3", "flop is '-5'", "above 0"]),
        ("a,0.1,0", ["line 3", "flop is '0'"]),
        ("a,0.1,many", ["line 3", "flop is 'many'"]),
        ("a,inf,1e18", ["line 3", "error is 'inf'"]),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_taken(tithe: Tithe, tmp_path, path, line, words):
    file = tmp_path / "bad.csv"
    file.write_text(f"model,error,flop\nb,0.2,1e18\n{line}\n")
    assert tithe("runs", "import", file).refused(*words)
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"model,error\n", b"\xff\xfe\x00b"])
def test_a_file_without_runs_is_refused(tithe: Tithe, tmp_path, path, content):
    file = tmp_path / "empty.csv"
    file.write_bytes(content)
    assert tithe("runs", "import", file).refused(str(file))


def test_a_damaged_ledger_is_refused_in_a_sentence(tithe: Tithe, path):
    path.parent.mkdir()
    path.write_bytes(b"not a ledger " * 100)
    assert tithe("runs").refused("damaged or is no ledger", "TITHE_LEDGER")


def test_json_of_a_ledger_is_json(tithe: Tithe, path, results):
    tithe("runs", "import", results, "--column", "error=Top-1", "--percent")
    runs = json.loads(tithe("runs", "--json").stdout, parse_constant=lambda name: math.nan)
    assert all(not (isinstance(value, float) and math.isnan(value)) for run in runs for value in run.values())
