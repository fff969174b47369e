"""Runs from the ledger, by axis and group."""

from pathlib import Path

import pytest

from tithe.cost import ledger
from tithe.cost.run import Run
from tithe.errors import UsageError
from tithe.forecast import from_ledger


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.sqlite"
    ledger.add(
        path,
        [
            Run("a", "sparse", "x", data="m", error=0.1, flop=1e9, parameters=100, examples=1000, density=0.05),
            Run("b", "sparse", "x", data="m", error=0.08, flop=2e9, parameters=200, examples=2000, density=0.1),
            Run("c", "dense", "x", data="m", error=0.07, flop=4e9, parameters=400, year=2020),
            Run("d", "dense", "x", data="m", status="diverged", flop=4e9),
        ],
    )
    return path


@pytest.mark.parametrize(
    ("axis", "sizes", "left_out"),
    [("compute", [1e9, 2e9, 4e9], 1), ("data", [1000, 2000], 2), ("parameters", [100, 200, 400], 1)],
)
def test_sizes_by_axis(book: Path, axis: str, sizes: list[float], left_out: int) -> None:
    found = from_ledger.read(book, [], axis)
    assert (found.compute, found.left_out) == (sizes, left_out)
    assert found.where(1) == "run 2"
    assert found.year is None  # one is not known


def test_groups(book: Path) -> None:
    groups = from_ledger.read(book, [], "compute", "density").groups()
    assert list(groups) == ["0.05", "0.1", "None"]
    assert groups["0.1"].error == [0.08]
    assert groups["0.1"].names == ["run 2"]


def test_nothing_to_forecast_from(book: Path) -> None:
    with pytest.raises(UsageError, match="none of the 1 runs has both an error and flop"):
        from_ledger.read(book, ["status=diverged"], "compute")
    with pytest.raises(UsageError, match="holds no runs that fit 'data=other'"):
        from_ledger.read(book, ["data=other"], "compute")
