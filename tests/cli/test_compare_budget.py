"""Equal FLOP and equal seconds: how equal the runs of `tithe compare` end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cli.command import Tithe
from cli.comparison import SMALL
from tithe.train import loop

EVERY_KIND = "sparse-momentum,granet,group-lasso,gradual-magnitude,dense"  # of ways to depend on the epochs


def test_equal_flop_are_equal_up_to_whole_epochs(tithe: Tithe, tmp_path):
    """Within 5 %, counted: an epoch of dense training is a fifth, one of the others at most a ninth."""
    words = [*SMALL, "--methods", EVERY_KIND, "--seeds", 1, "--budget", "flop", "--epochs", 5, "--json"]
    outcome = tithe("compare", *words, "--out", tmp_path / "cmp")
    assert outcome.status == 0, outcome
    tactics = outcome.report["tactics"]
    wanted = tactics["dense"]["training"]["flop"]["value"]
    assert outcome.report["budget"]["amount"] == wanted
    off = {name: abs(tactic["training"]["flop"]["value"] / wanted - 1) for name, tactic in tactics.items()}
    assert all(share < 0.05 for share in off.values()), off


def test_an_epoch_that_is_too_much_is_said_to_be(tithe: Tithe, tmp_path):
    words = [*SMALL, "--methods", "dense,static", "--seeds", 1, "--budget", "20 MFLOP", "--out", tmp_path / "cmp"]
    outcome = tithe("compare", *words, "--json")
    assert outcome.status == 0, outcome
    assert outcome.report["tactics"]["dense"]["epochs"] == 1
    assert outcome.report["says"][-1].endswith("More than 5 % off: dense.")


def test_equal_seconds_are_equal_though_the_pilots_were_slow(tithe: Tithe, tmp_path, clock):
    """A clock of ours: a step takes 20 ms at first and 10 ms when the pilots are done."""
    words = [*SMALL, "--methods", "static,rigl", "--seeds", 2, "--budget", "5.8s", "--out", tmp_path / "cmp"]
    outcome = tithe("compare", *words, "--json")
    assert outcome.status == 0, outcome
    assert outcome.report["budget"]["says"] == "5.80 s of training each"
    for tactic in outcome.report["tactics"].values():
        assert [run["training"]["seconds"] for run in tactic["runs"]] == pytest.approx([5.8, 5.8], rel=0.05)
    assert outcome.stderr.count("trials") > 1
    assert "Each run took" in outcome.report["says"][-1]
    before = sorted((tmp_path / "cmp").glob("*/*/report.json"))
    again = tithe("compare", *words)
    assert again.stderr.splitlines()[-1] == "4 runs, 4 of them done already"
    assert sorted((tmp_path / "cmp").glob("*/*/report.json")) == before


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The training loop reads its clock once a step, and around each epoch."""
    now, reads = 0.0, 0

    def read() -> float:
        nonlocal now, reads
        reads += 1
        now += 0.02 if reads < 1150 else 0.01  # pilots of 5 and 10, 3 and 6 epochs: 24 of them with 48 reads each
        return now

    monkeypatch.setattr(loop, "time", _Time(read))


class _Time:
    def __init__(self, perf_counter: Callable[[], float]) -> None:
        self.perf_counter = perf_counter
