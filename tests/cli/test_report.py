"""`tithe report`, from a training to a file."""

import os
from pathlib import Path

import pytest
from report.runs import HOSTILE, imported, pair

from cli.command import SMALL, Tithe
from tithe.cost import ledger


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger of this test's own, with a run of two halves and one of somebody else; and a folder to be in."""
    where = tmp_path / "ledger.sqlite"
    monkeypatch.setenv(ledger.ENVIRONMENT, str(where))
    ledger.add(where, [*pair(), imported()])
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return where


def shown(path: str = "tithe-report.html") -> str:
    """What the page says; a number and its percent sign are kept on one line there."""
    return Path(path).read_text().replace("\N{NO-BREAK SPACE}", " ")


def test_a_training_its_folder_and_its_ids_give_a_report(tithe: Tithe, tmp_path, path):
    assert tithe("train", *SMALL, "--out", "run").status == 0
    outcome = tithe("report", "run")
    assert outcome.status == 0, outcome
    assert outcome.stdout.startswith("Wrote tithe-report.html: 1 run, ")
    html = shown()
    assert "mlp:24-16 on digits" in html
    assert "Layers of the sparse network" in html
    by_id = tithe("report", "4", "5", "run", "--out", "ids.html")
    assert "1 run," in by_id.stdout, "both halves and the folder are one run"
    for word in ("With 5 % of the weights", "weights, gradients, optimizer"):
        assert word in shown("ids.html")


@pytest.mark.parametrize("word", ["1", "2", "0123456789abcdef" * 2, "0123", "01234567"])
def test_a_run_is_named_by_the_id_of_a_half_or_the_beginning_of_its_name(tithe: Tithe, path, word):
    assert tithe("report", word).status == 0
    html = shown()
    assert "lenet-300-100 on mnist" in html
    assert "dense it is 1.31 %" in html


def test_several_runs_stand_side_by_side(tithe: Tithe, path):
    assert "2 runs, " in tithe("report", "1", "3", "--out", "both.html").stdout
    assert "2 runs side by side" in shown("both.html")


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_bill_is_drawn_where_it_is_asked_for(tithe: Tithe, path, suffix):
    outcome = tithe("report", "1", "3", "--plot", f"bill.{suffix}")
    assert f"tithe-report.html and bill.{suffix}" in outcome.stdout
    assert Path(f"bill.{suffix}").stat().st_size > 1000


def test_hostile_names_are_drawn_as_they_are(tithe: Tithe, path):
    ledger.add(path, pair(run="e" * 32, data=HOSTILE, model=HOSTILE))
    assert tithe("report", "eeee", "--plot", "bill.svg").status == 0
    assert "<script" not in shown()


def test_a_file_that_is_there_is_replaced_only_when_asked(tithe: Tithe, path):
    Path("mine.html").write_text("mine")
    assert tithe("report", "1", "--out", "mine.html").refused("mine.html is there already", "--overwrite")
    assert Path("mine.html").read_text() == "mine"
    assert tithe("report", "1", "--out", "mine.html", "--overwrite").status == 0
    assert "lenet-300-100" in Path("mine.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["no run was given", "tithe runs"]),
        (["17"], ["no run '17'", "the newest are 3 (imported resnet50 on imagenet)"]),
        (["0123456798ab"], ["did you mean 0123456789ab?"]),
        (["012"], ["no run '012'"]),
        (["finishd"], ["did you mean finished?"]),
        (["nowhere/run"], ["no folder and no run 'nowhere/run'"]),
        (["empty"], ["empty holds no report.json", "an id of tithe runs"]),
        (["unfinished"], ["unfinished run", "tithe train --resume --out unfinished"]),
        (["damaged"], ["report.json cannot be read or is damaged"]),
        (["other"], ["report.json cannot be read or is damaged"]),
        (["notes.txt"], ["notes.txt is no run"]),
        (["1", "--out", "empty"], ["empty is a folder"]),
        (["1", "--out", "nowhere/page.html"], ["cannot write nowhere/page.html", "is no folder"]),
        (["1", "--plot", "bill.jpg"], ["bill.jpg", ".png, .svg, .pdf"]),
        (["3", "--plot", "bill.png"], ["nothing to draw", "leave --plot out"]),
    ],
)
def test_bad_input_is_refused_in_a_sentence_and_nothing_is_written(tithe: Tithe, path, arguments, words):
    for folder in ("empty", "unfinished", "damaged", "other"):
        Path(folder).mkdir()
    Path("unfinished/run.json").write_text("{}")
    Path("finished").mkdir()
    Path("finished/report.json").write_text("{}")
    Path("damaged/report.json").write_text('{"sparse": ')
    Path("other/report.json").write_text('{"rows": []}')
    Path("notes.txt").write_text("mine")
    assert tithe("report", *arguments).refused(*words)
    assert not list(Path().glob("*.html"))
    assert not list(Path().glob("bill*"))


def test_the_beginning_of_two_names_is_refused(tithe: Tithe, path):
    ledger.add(path, pair(run="0123" + "f" * 28))
    assert tithe("report", "0123").refused("beginning of 2 runs", "give more of it")


def test_without_a_ledger_only_folders_can_be_named(tithe: Tithe, path, monkeypatch):
    monkeypatch.setenv(ledger.ENVIRONMENT, "off")
    assert tithe("report", "1").refused("no folder 1", "switched off", "TITHE_LEDGER")
    monkeypatch.setenv(ledger.ENVIRONMENT, str(path.parent / "none.sqlite"))
    assert tithe("report", "1").refused("no run in", "tithe train makes one")


def test_a_folder_that_cannot_be_written_is_said(tithe: Tithe, path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere; a full disk is said by the same line (test_disk)")
    Path("locked").mkdir(mode=0o500)
    assert tithe("report", "1", "--out", "locked/page.html").refused("cannot write locked/page.html")
