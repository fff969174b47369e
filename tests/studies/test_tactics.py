"""`tactics`: what a comparison found becomes verdicts; each tactic trains as long as its authors let it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studies.test_framework import Silent
from tithe.cost.figure import Figure
from tithe.errors import UsageError
from tithe.methods.registry import DENSE, DENSE_TO_SPARSE, FROM_SCRATCH, PENALTY
from tithe.studies.kept import Kept
from tithe.studies.study import Asked
from tithe.studies.tactics import study
from tithe.studies.tactics_claims import after, any_of, judged, ratio
from tithe.studies.tactics_picture import draw

FAMILIES = {"dense": DENSE, "small-dense": DENSE, "one-shot": DENSE_TO_SPARSE, "gradual-magnitude": DENSE_TO_SPARSE}
FAMILIES |= {"l1": PENALTY, "rigl": FROM_SCRATCH, "sparse-momentum": FROM_SCRATCH, "search": "search"}


def tactic(method: str, training: float, use: float, error: float, spread: float = 0.01) -> dict[str, Any]:
    """Three seeds; costs are those of dense times these, the error is in percent."""
    noise = lambda seed: (seed + len(method)) % 3 - 1  # noqa: E731
    runs = [
        {
            "seed": seed,
            "error": (error + spread * noise(seed)) / 100,
            "training": {"flop": 1e12 * training, "seconds": 100 * training * (1 + 0.01 * noise(seed))},
            "inference": {"flop": 1e6 * use, "seconds": 1e-6 * use},
        }
        for seed in range(3)
    ]
    costs = {
        part: {cost: Figure(runs[1][part][cost], "FLOP" if cost == "flop" else "s", "counted").json() for cost in costs}
        for part, costs in (("training", ("flop", "seconds")), ("inference", ("flop", "seconds")))
    }
    figure = Figure(error / 100, "1", "measured").json()
    return {"method": method, "family": FAMILIES[method], "runs": runs, "error": figure, "epochs": 1, **costs}


TRUE = {
    "dense": tactic("dense", 1.0, 1.0, 1.5),
    "one-shot": tactic("one-shot", 1.1, 0.05, 1.5),
    "gradual-magnitude": tactic("gradual-magnitude", 0.95, 0.05, 1.5),
    "search": tactic("search", 1.5, 0.05, 2.0),
    "small-dense": tactic("small-dense", 0.05, 0.05, 3.0),
    "rigl": tactic("rigl", 0.06, 0.05, 1.6),
}


def found(changes: dict[str, Any] = {}, without: tuple[str, ...] = ()) -> dict[str, Any]:  # noqa: B006
    tactics = {name: each for name, each in (TRUE | changes).items() if name not in without}
    return {
        "tactics": tactics,
        "model": "lenet-300-100",
        "data": {"name": "mnist", "n_test": 10_000},
        "inferences": 1e6,
        "seeds": 3,
        "left_out": {},
    }


NAMES = ("finished", "searches", "on the way", "FLOP", "seconds", "in all", "small")


def verdicts(content: dict[str, Any]) -> dict[str, str]:
    return {next(name for name in NAMES if name in claim.claim): claim.verdict for claim in judged(content)}


def test_all_claims_hold_where_they_should() -> None:
    assert verdicts(found()) == dict.fromkeys(NAMES, "holds")


@pytest.mark.parametrize(
    ("claim", "name", "each"),
    [
        ("finished", "one-shot", tactic("one-shot", 0.5, 0.05, 1.5)),
        ("searches", "search", tactic("search", 0.5, 0.5, 1.5)),
        ("on the way", "gradual-magnitude", tactic("gradual-magnitude", 0.6, 0.05, 1.5)),
        ("FLOP", "rigl", tactic("rigl", 0.95, 0.05, 1.5)),
        ("FLOP", "rigl", tactic("rigl", 0.06, 0.05, 2.5)),
        ("seconds", "rigl", tactic("rigl", 1.2, 0.05, 1.5)),
        ("in all", "one-shot", tactic("one-shot", 0.01, 0.05, 1.5)),
        ("small", "small-dense", tactic("small-dense", 0.05, 0.05, 1.2)),
    ],
)
def test_a_claim_does_not_hold_where_the_numbers_say_so(claim: str, name: str, each: dict[str, Any]) -> None:
    assert verdicts(found({name: each}))[claim] == "does not hold"


def test_noise_leaves_a_claim_open() -> None:
    noisy = found({"rigl": tactic("rigl", 0.06, 0.05, 1.5, spread=1.0)})
    assert verdicts(noisy)["FLOP"] == "not decided"
    assert verdicts(noisy)["small"] == "not decided"


def test_a_margin_is_at_least_two_test_examples() -> None:
    content = found({"rigl": tactic("rigl", 0.06, 0.05, 1.9)})
    assert verdicts(content)["FLOP"] == "does not hold"
    content["data"]["n_test"] = 359
    assert verdicts(content)["FLOP"] == "holds"


def test_what_is_not_cheaper_to_use_is_not_asked() -> None:
    assert after(found({"one-shot": tactic("one-shot", 0.5, 0.95, 1.5)})) == ["gradual-magnitude", "search"]


def test_what_was_not_trained_is_not_judged() -> None:
    assert set(verdicts(found(without=("rigl",)))) == {"finished", "searches", "on the way"}
    assert set(verdicts(found(without=("one-shot", "gradual-magnitude", "search")))) == {
        "FLOP",
        "seconds",
        "in all",
        "small",
    }


def test_a_total_is_training_and_uses() -> None:
    assert ratio(found(), "rigl", "total", "flop").value == pytest.approx((0.06e12 + 0.05e12) / 2e12)


def test_one_case_proves_a_claim_that_something_is_possible() -> None:
    assert any_of(["holds", "does not hold"]) == "holds"
    assert any_of(["does not hold", "not decided"]) == "not decided"
    assert any_of(["does not hold", "does not hold"]) == "does not hold"
    assert any_of([]) == "not decided"


def test_a_picture_is_small(tmp_path: Path) -> None:
    assert 10_000 < draw(found(), judged(found()), tmp_path / "p.png").stat().st_size < 150_000


def test_the_study_bills_what_each_tactic_trains(tmp_path: Path) -> None:
    small: dict[str, Any] = {"data": ("digits",), "model": ("mlp:24-16",), "density": (0.2,), "epochs": 1, "seeds": 2}
    methods = ("one-shot", "gradual-magnitude", "group-lasso", "rigl")
    asked = Asked("tactics", tmp_path, methods=methods, threads=1, **small)
    came = study(asked, Kept(tmp_path, Silent()))
    rows = {row["tactic"]: row for row in came.tables[0].rows}
    assert set(rows) == {"dense", *(f"{method} 20 %" for method in methods)}, "dense is what the others are measured by"
    assert rows["one-shot 20 %"]["epochs"] == 2
    assert 1.0 < rows["one-shot 20 %"]["training"] < 2.0, "a dense epoch, then a sparse one"
    assert rows["rigl 20 %"]["training"] < 0.5
    assert rows["dense"]["training"] == rows["dense"]["use"] == 1.0
    assert rows["rigl 20 %"]["use"] == pytest.approx(0.2, abs=0.01)
    bill = {row["tactic"]: row for row in came.tables[1].rows}["dense"]
    assert bill["total_flop"] == pytest.approx(bill["training_flop"] + 1e6 * bill["inference_flop"])
    watch = Silent()
    study(asked, Kept(tmp_path, watch))
    assert watch.done == 10


def test_without_a_dense_network_that_did_not_diverge_there_is_nothing_to_compare_with() -> None:
    with pytest.raises(UsageError, match="and dense have no seed in common that did not diverge"):
        judged(found(without=("dense",)))
