"""Runs from CSV files, and what is said of files that are none."""

import os
from pathlib import Path

import pytest

from tithe.errors import UsageError
from tithe.forecast.read import read

GOOD = "name,flops,error,family,year\na,1e15,0.4,x,2012\nb,2e15,0.3,x,2013\nc,4e15,0.25,y,2014\n"


def file(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "runs.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_columns_by_name(tmp_path: Path) -> None:
    table = read(file(tmp_path, GOOD), "flops", "error", "family", "year")
    assert table.compute == [1e15, 2e15, 4e15]
    assert table.error == [0.4, 0.3, 0.25]
    assert table.group == ["x", "x", "y"]
    assert table.year == [2012, 2013, 2014]
    assert table.where(2) == "line 4"


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("name,flops", "name, flops "),
        GOOD + "\n\n",
    ],
)
def test_other_ways_to_write_it(tmp_path: Path, text: str) -> None:
    assert read(file(tmp_path, text), "flops", "error").compute == [1e15, 2e15, 4e15]


def test_quoted_line_breaks_do_not_move_the_lines(tmp_path: Path) -> None:
    text = 'name,flops,error\n"a\nb",1e15,0.4\nc,2e15,x\n'
    with pytest.raises(UsageError, match="line 4: 'error' is 'x'"):
        read(file(tmp_path, text), "flops", "error")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("0.3", ""), ("line 3 has no number in 'flops' or 'error'", "--skip-missing")),
        (GOOD.replace("0.3", "NaN"), ("line 3 has no number",)),
        (GOOD.replace("0.3", "nan").replace("4e15", ""), ("lines 3 and 4 have no number",)),
        ("flops,error\n" + ",0.1\n" * 8, ("lines 2, 3, 4, 5, 6 and 3 more have",)),
        (GOOD.replace("2e15", "2 PFLOP"), ("mixed units", "'2 PFLOP' in line 3", "'1e15' in line 2", "one unit")),
        (GOOD.replace("0.3", "30%"), ("mixed units", "'30%' in line 3")),
        ("flops,error\n1 GFLOP,0.1\n2 GFLOP,0.05\n", ("line 2", "'1 GFLOP'", "plain numbers")),
        (GOOD.replace("0.3", "about a third"), ("line 3: 'error' is 'about a third'", "no number")),
        (GOOD.replace("2e15", "inf"), ("line 3: 'flops' is inf", "finite")),
        (GOOD.replace("flops", "flop"), ("no column 'flops'", "did you mean 'flop'?")),
        ("a,b\n1,2\n", ("no column 'flops'", "Its columns are a, b")),
        ("", ("no CSV file",)),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", ("no text in UTF-8",)),
        ("flops,error\n1\0,2\n", ("no CSV file",)),
    ],
)
def test_refused_in_a_sentence(tmp_path: Path, text: str | bytes, words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        read(file(tmp_path, text), "flops", "error")
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert message.endswith(".")
    assert "\n" not in message


def test_missing_lines_can_be_left_out(tmp_path: Path) -> None:
    table = read(file(tmp_path, GOOD.replace("0.3", "")), "flops", "error", skip_missing=True)
    assert table.error == [0.4, 0.25]
    assert table.where(1) == "line 4"


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*nowhere\.csv: no such file"):
        read(tmp_path / "nowhere.csv", "flops", "error")
    with pytest.raises(UsageError, match="is a directory"):
        read(tmp_path, "flops", "error")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = file(tmp_path, GOOD)
    path.chmod(0)
    with pytest.raises(UsageError, match="permission denied"):
        read(path, "flops", "error")
