"""`sparse-momentum`: accuracies become verdicts, runs are trained once, and what is asked for is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studies.test_framework import Silent
from tithe.compare.tactics import Tactic
from tithe.errors import UsageError
from tithe.studies.kept import Kept
from tithe.studies.published_accuracy import published
from tithe.studies.sparse_momentum import judged, lead, study
from tithe.studies.sparse_momentum_picture import draw
from tithe.studies.study import Asked
from tithe.studies.trained import Trained

MODEL = "lenet-300-100"


def trained(method: str, density: float | None, accuracy: float, model: str = MODEL, spread: float = 0.02) -> Trained:
    """Three seeds around an accuracy, other ones for each method."""
    accuracies = {seed: accuracy + spread * ((seed + ord(method[1])) % 3 - 1) for seed in range(3)}
    return Trained(model, Tactic(method, density), 100, accuracies, 1e12, 60.0, 0)


def claims(*runs: Trained) -> dict[str, str]:
    """The verdicts by the claims' last words."""
    return {claim.claim.split()[-1].rstrip("."): claim.verdict for claim in judged(runs, "mnist", 10_000)}


GOOD = (
    trained("sparse-momentum", 0.01, 97.6),
    trained("sparse-momentum", 0.05, 98.55),
    trained("set", 0.01, 96.0),
    trained("set", 0.05, 98.2),
    trained("dense", None, 98.7),
)


def test_all_claims_hold_where_they_should() -> None:
    assert claims(*GOOD) == {"accuracy": "holds", "methods": "holds", "network": "holds"}


@pytest.mark.parametrize(
    ("claim", "run", "verdict"),
    [
        ("accuracy", trained("sparse-momentum", 0.02, 97.5), "does not hold"),
        ("accuracy", trained("sparse-momentum", 0.02, 98.0), "not decided"),
        ("methods", trained("rigl", 0.05, 99.2), "does not hold"),
        ("methods", trained("rigl", 0.05, 98.6, spread=1.0), "not decided"),
        ("network", trained("sparse-momentum", 0.1, 98.2), "does not hold"),
        ("network", trained("sparse-momentum", 0.04, 90.0), "holds"),  # below the density of the claim
    ],
)
def test_a_claim_follows_the_numbers(claim: str, run: Trained, verdict: str) -> None:
    assert claims(*GOOD, run)[claim] == verdict


def test_what_is_not_measured_is_not_judged() -> None:
    assert claims(trained("set", 0.05, 98.2)) == {}
    assert claims(trained("sparse-momentum", 0.05, 98.5)) == {"accuracy": "holds"}
    assert "accuracy" not in claims(trained("sparse-momentum", 0.07, 98.5), trained("dense", None, 98.6))


def test_a_lead_is_the_mean_over_the_densities_that_both_have() -> None:
    figure = lead([*GOOD, trained("set", 0.1, 0.0)], "sparse-momentum", "set")
    assert figure is not None
    assert figure.value == pytest.approx(((97.6 - 96.0) + (98.55 - 98.2)) / 2)
    assert "1 %, 5 %" in figure.source
    assert lead(GOOD, "sparse-momentum", "snip") is None


def test_published_errors_are_accuracies() -> None:
    assert published("mnist", "lenet-5")["sparse-momentum"][0.02] == pytest.approx(99.24)
    assert published("mnist", MODEL)["set"][0.05] == 98.14
    assert not published("digits", MODEL)


def test_a_picture_is_small(tmp_path: Path) -> None:
    picture = draw(GOOD, published("mnist", MODEL), judged(GOOD, "mnist", 10_000), tmp_path / "p.png")
    assert 10_000 < picture.stat().st_size < 150_000


SMALL: dict[str, Any] = {"data": ("digits",), "model": ("mlp:24-16",), "seeds": 2, "threads": 1}
SMALL |= {"methods": ("sparse-momentum", "set", "dense"), "density": (0.2,), "epochs": 1}


def asked(out: Path, **changes: Any) -> Asked:
    return Asked("sparse-momentum", out, **(SMALL | changes))


def trains(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.glob("runs/*/*")}


def test_the_study_trains_each_run_once(tmp_path: Path) -> None:
    first = study(asked(tmp_path), Kept(tmp_path, Silent()))
    assert [row["method"] for row in first.tables[0].rows] == list(SMALL["methods"])
    assert [row["seeds"] for row in first.tables[0].rows] == [2, 2, 2]
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/*/report.json")}
    watch = Silent()
    more = study(asked(tmp_path, density=(0.2, 0.3), methods=("sparse-momentum", "dense")), Kept(tmp_path, watch))
    assert watch.done == 4, "those with a density of 0.2, and the dense ones"
    assert len(more.tables[0].rows) == 3
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_other_epochs_are_other_runs(tmp_path: Path) -> None:
    few = {"methods": ("dense",), "seeds": 2}
    study(asked(tmp_path, **few), Kept(tmp_path, Silent()))
    before = trains(tmp_path)
    study(asked(tmp_path, **few, epochs=2), Kept(tmp_path, Silent()))
    assert len(trains(tmp_path)) == 2 * len(before)


def test_a_finished_run_that_is_another_one_is_refused(tmp_path: Path) -> None:
    few = {"methods": ("dense",), "seeds": 2}
    study(asked(tmp_path, **few), Kept(tmp_path, Silent()))
    report = next(tmp_path.glob("runs/*/dense-seed-0/report.json"))
    report.write_text(report.read_text().replace('"epochs": 1,', '"epochs": 3,'))
    with pytest.raises(UsageError, match="epochs 3, not 1"):
        study(asked(tmp_path, **few), Kept(tmp_path, Silent()))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": ("mnist",), "data_dir": Path("/nowhere")}, "--download"),
        ({"methods": ("rigll",)}, "did you mean rigl"),
        ({"density": (1.5,)}, "1.5 is not possible"),
        ({"model": ("lenet-9",)}, "lenet-9"),
        ({"epochs": 0}, "epochs 0"),
        ({"data": ("digits", "mnist")}, "--data was given 2 times"),
        ({"threads": 0}, "threads 0"),
        ({"processes": 0}, "--processes 0"),
    ],
)
def test_bad_input_is_refused_before_anything_is_trained(tmp_path: Path, changes: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        study(asked(tmp_path, **changes), Kept(tmp_path, Silent()))
    assert not trains(tmp_path)


def test_a_diverged_seed_leaves_the_others_paired() -> None:
    def run(method: str, by_seed: dict[int, float]) -> Trained:
        return Trained(MODEL, Tactic(method, 0.05), 100, by_seed, 1e12, 60.0, 3 - len(by_seed))

    runs = [run("sparse-momentum", {0: 97.0, 1: 98.0, 2: 99.0}), run("set", {1: 97.5, 2: 98.4})]
    found = lead(runs, "sparse-momentum", "set")
    assert found is not None
    assert found.value == pytest.approx((0.5 + 0.6) / 2)
    assert lead([runs[0], run("set", {})], "sparse-momentum", "set") is None
