"""`tithe forecast`: from files, the ledger, the published record and a run in progress; and what it refuses."""

import json
from pathlib import Path

import pytest
from forecast.run_folder import run_folder

from cli.command import Tithe
from tithe.cost import ledger
from tithe.cost.run import Run

HEADER = "flops,error,labels,family,year"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Eight runs: error = 0.05 + 0.3 (C / 1e15)^-0.4, two families."""
    path = tmp_path / "runs.csv"
    rows = [
        f"{1e15 * 2**i},{0.05 + 0.3 * 2 ** (-0.4 * i):.5f},{1000 * 2**i},{'ab'[i % 2]},{2012 + i}" for i in range(10)
    ]
    path.write_text("\n".join([HEADER, *rows]))
    return path


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger with eight sparse runs, eight dense ones and two that say too little."""
    where = tmp_path / "book.sqlite"
    monkeypatch.setenv(ledger.ENVIRONMENT, str(where))
    runs = [
        Run(f"{half}{i}", half, "2026-01-01", data="mnist", error=base + 0.1 * 2 ** (-0.5 * i), flop=scale * 2**i)
        for half, base, scale in (("sparse", 0.015, 1e9), ("dense", 0.012, 1e10))
        for i in range(8)
    ]
    runs += [Run("x", "sparse", "2026-01-01", status="diverged", data="mnist", flop=1e9)]
    runs += [Run("y", "imported", "2026-01-01", data="mnist", error=0.02)]
    ledger.add(where, runs)
    return where


def test_json_has_what_is_promised(tithe: Tithe, file):
    found = tithe("forecast", file, "--target", 0.06, "--json").report
    for name in ("power_law", "with_floor"):
        assert {"value", "low", "high"} <= found[name]["exponent"].keys()
    assert {"value", "low", "high"} <= found["halving_factor"].keys()
    assert found["target"]["error"] == 0.06
    for name in ("flop", "hours", "usd", "kwh", "kg_co2"):
        low, value, high = (found["target"][name][end] for end in ("low", "value", "high"))
        assert float(low) <= float(value) <= float(high)
    truth = 1e15 * (0.3 / 0.01) ** (1 / 0.4)
    assert float(found["target"]["flop"]["low"]) <= truth <= float(found["target"]["flop"]["high"])
    assert found["with_floor"]["floor"]["value"] == pytest.approx(0.05, rel=0.1)
    assert found["backtest"]["held_out"]["predicted"] == 4
    assert found["says"].startswith("An error of 6 %")
    assert found["verdict"] in ("forecast", "scenario", "out of reach", "floor not identified", "too few runs")


def test_the_table_says_it_in_words(tithe: Tithe, file):
    out = tithe("forecast", file, "--target", 0.065).stdout
    for words in ("Verdict:", "90 % interval", "CO2", "modelled", "Tried on these runs", "Priced on"):
        assert words in out


def test_what_is_never_reached_has_no_price(tithe: Tithe, file):
    out = tithe("forecast", file, "--halve").stdout
    assert "out of reach" in out
    assert "CO2" not in out


def test_labels_are_not_priced(tithe: Tithe, file):
    target = tithe("forecast", file, "--axis", "data", "--target", 0.07, "--json").report["target"]
    assert target["labels"]["unit"] == "labels"
    assert "usd" not in target


def test_a_forecast_a_group(tithe: Tithe, file, tmp_path):
    out = tmp_path / "p.png"
    found = tithe("forecast", file, "--group", "family", "--plot", out, "--json").report
    assert set(found["groups"]) == {"a", "b"}
    assert all(found["groups"][name]["runs"]["count"] == 5 for name in "ab")
    assert (tmp_path / "p-a.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "p-b.png").exists()


def test_from_the_ledger(tithe: Tithe, book):
    found = tithe("forecast", "--runs", "data=mnist half=sparse", "--json").report
    assert (found["runs"]["count"], found["left_out"]) == (8, 1)
    assert found["with_floor"]["floor"]["low"] <= 0.015 <= found["with_floor"]["floor"]["high"]
    both = tithe("forecast", "--runs", "half!=imported", "--group", "half", "--json").report["groups"]
    assert set(both) == {"sparse", "dense"}


def test_imagenet_needs_nothing(tithe: Tithe, tmp_path):
    out = tmp_path / "imagenet.svg"
    found = tithe("forecast", "imagenet", "--plot", out, "--json").report
    assert found["target"]["error"] == 0.05
    assert len(found["record"]["published"]) == 3
    assert out.read_text().startswith("<?xml")
    assert "with_year" in found["power_law"]


def test_the_rest_of_a_run(tithe: Tithe, tmp_path, monkeypatch):
    monkeypatch.setenv(ledger.ENVIRONMENT, str(tmp_path / "own.sqlite"))
    out = run_folder(tmp_path / "run", [0.2, 0.12, 0.09, 0.075, 0.067])
    found = tithe("forecast", out, "--json").report["halves"]["sparse"]
    assert (found["epoch"], found["epochs"], found["from"]) == (5, 10, "its own curve")
    assert found["error_at_the_end"]["value"] < 0.067
    assert "sparse: epoch 5 of 10, error 6.70 %; at the end" in tithe("forecast", out).stdout


def test_the_rest_of_a_run_that_has_hardly_begun(tithe: Tithe, tmp_path, monkeypatch):
    monkeypatch.setenv(ledger.ENVIRONMENT, "off")
    assert tithe("forecast", run_folder(tmp_path / "a", [0.2, 0.1])).refused("2 epochs", "ask again later")
    assert tithe("forecast", run_folder(tmp_path / "b", [])).refused("has not finished an epoch")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "0.05", "--halve"], ["--halve and --target 0.05"]),
        (["--target", "5"], ["target 5", "0.05 for 5 %"]),
        (["--compute", "flop"], ["no column 'flop'", "did you mean 'flops'?"]),
        (["--error", "eror"], ["no column 'eror'", "did you mean 'error'?"]),
        (["--group", "famly"], ["did you mean 'family'?"]),
        (["--runs", "data=mnist"], ["both given"]),
        (["--burden"], ["imagenet"]),
        (["--on", "h100-sxn"], ["'h100-sxn'", "h100-sxm"]),
        (["--plot", "x.bmp"], ["x.bmp", ".png"]),
        (["--plot", "nowhere/x.png"], ["cannot write nowhere/x.png", "is no folder"]),
    ],
)
def test_refused_in_one_sentence(tithe: Tithe, file, arguments, words):

    assert tithe("forecast", file, *arguments).refused(*words)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["1e15,0.4", "2e15,1.4", "4e15,0.2", "8e15,0.1"], ["line 3", "mixed units"]),
        (["1e15,0.4", "2e15,-0.1", "4e15,0.2", "8e15,0.1"], ["line 3", "outside (0, 1]"]),
        (["1e15,0.4", "2e15,0.3", "0,0.2", "8e15,0.1"], ["line 4", "0 or less"]),
        (["1e15,0.4", "2e15,0.3", "-3e15,0.2", "8e15,0.1"], ["line 4", "0 or less"]),
        (["1e15,0.4", "2e15,0.3", "4e15,0.2"], ["3 runs", "4 or more"]),
        (["1e15,0.4", "1e15,0.3", "1e15,0.2", "1e15,0.1"], ["all 4 runs", "different sizes"]),
        (["1e15,0.4", "2e15,nan", "4e15,0.2", "8e15,0.1", "9e15,0.1"], ["line 3", "no number"]),
        (["1e15,0.4", "2 PFLOP,0.3", "4e15,0.2", "8e15,0.1"], ["mixed units", "line 3"]),
        (["1e15,40", "2e15,30", "4e15,20", "8e15,10"], ["looks like percent", "--percent"]),
    ],
)
def test_bad_rows_are_named_by_their_line(tithe: Tithe, tmp_path, rows, words):
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(["flops,error", *rows]))
    assert tithe("forecast", path).refused(*words)


def test_bad_sources(tithe: Tithe, tmp_path, monkeypatch):
    assert tithe("forecast", tmp_path / "none.csv").refused("no such file", "give a CSV file, or imagenet.")
    assert tithe("forecast", tmp_path).refused("is a directory")
    foreign = tmp_path / "foreign.sqlite"
    foreign.write_bytes(b"SQLite format 3\0" + b"x" * 200)
    monkeypatch.setenv(ledger.ENVIRONMENT, str(foreign))
    assert tithe("forecast").refused("foreign.sqlite", "TITHE_LEDGER")
    monkeypatch.setenv(ledger.ENVIRONMENT, str(tmp_path / "new.sqlite"))
    assert tithe("forecast").refused("no runs", "tithe runs")
    monkeypatch.setenv(ledger.ENVIRONMENT, "off")
    assert tithe("forecast").refused("switched off")


@pytest.mark.parametrize("name", ["imagnet", "ImageNet1k"])
def test_a_misspelt_record_is_told(tithe: Tithe, name):
    assert tithe("forecast", name).refused("no such file", "did you mean imagenet?")


def test_runs_that_cannot_be_compared(tithe: Tithe, book):
    ledger.add(book, [Run("z", "sparse", "2026-01-01", data="cifar10", error=0.3, flop=1e12)])
    assert tithe("forecast").refused("2 data sets (cifar10, mnist)", "data=cifar10")
    assert tithe("forecast", "--runs", "data=imagenet").refused("no runs that fit", "data=imagenet")
    assert tithe("forecast", "--runs", "dta=mnist").refused("'dta'", "data")
    assert tithe("forecast", "--group", "hlf").refused("'hlf'", "half")
    assert tithe("forecast", "--compute", "flop").refused("--compute", "CSV file")


def test_help_has_examples(tithe: Tithe):
    out = tithe("forecast", "--help").stdout
    assert "tithe forecast imagenet" in out
    assert "--frontier" in out


def test_json_is_json_even_where_it_is_infinite(tithe: Tithe, file):
    text = tithe("forecast", file, "--target", 0.02, "--json").stdout
    found = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found["target"]["flop"]["high"] == "inf"
