"""The rest of one run: as past runs went on, or along its own curve."""

import dataclasses

import numpy as np
import pytest

from forecast.run_folder import DATA, RECIPE, run_folder
from tithe.cost.run import Point, Run
from tithe.errors import UsageError
from tithe.forecast import rest

SEEN = [0.2, 0.12, 0.09, 0.075, 0.067]


def past(place: int, ratio: float, **changes: object) -> Run:
    """A finished run whose error fell from the fifth epoch to its end by `ratio`."""
    points = tuple(Point(epoch, 0.3 / epoch, None, None, None) for epoch in range(1, 11))
    more = {"recipe": RECIPE, "data_sha256": DATA}
    given = {"error": 0.06 * ratio, "more": more, "curve": points} | changes
    return Run(f"past{place}", "sparse", "2026-01-01", **given)  # type: ignore[arg-type]


def test_as_past_runs_went_on(tmp_path) -> None:
    (progress,) = rest.read(run_folder(tmp_path / "run", SEEN))
    ratios = [0.5, 0.52, 0.48, 0.51, 0.49]
    found = rest.rest(progress, [past(place, ratio) for place, ratio in enumerate(ratios)])
    assert found.how == rest.PAST
    assert found.error.value == pytest.approx(0.067 * np.exp(np.log(ratios).mean()))
    assert found.error.least < 0.067 * 0.48 < 0.067 * 0.52 < found.error.most
    assert found.seconds.value == pytest.approx(5)
    assert found.caveat == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"half": "dense"},
        {"status": "diverged", "error": None},
        {"more": {"recipe": RECIPE, "data_sha256": "other"}},
        {"more": {"recipe": RECIPE | {"epochs": 20}, "data_sha256": DATA}},
        {"more": {"recipe": RECIPE | {"lr_drops": [0.5]}, "data_sha256": DATA}},
        {"curve": ()},
    ],
)
def test_other_runs_do_not_count(tmp_path, changes) -> None:
    (progress,) = rest.read(run_folder(tmp_path / "run", SEEN))
    others = [past(place, 0.5) for place in range(5)]
    assert rest.rest(progress, others).how == rest.PAST

    others = [dataclasses.replace(run, **changes) for run in others]
    assert rest.rest(progress, others).how == rest.CURVE


def test_its_own_curve_cannot_see_what_is_to_come(tmp_path) -> None:
    (progress,) = rest.read(run_folder(tmp_path / "run", SEEN))
    found = rest.rest(progress, [])
    assert found.how == rest.CURVE
    assert found.error.least < found.error.value < 0.067
    assert "after epoch 8" in found.caveat


def test_a_finished_run_is_what_it_is(tmp_path) -> None:
    (progress,) = rest.read(run_folder(tmp_path / "run", [0.2] * 10))
    found = rest.rest(progress, [])
    assert (found.error.value, found.error.how, found.seconds.value) == (pytest.approx(0.2), "measured", 0.0)


def test_a_torn_line_and_a_repeated_epoch(tmp_path) -> None:
    folder = run_folder(tmp_path / "run", SEEN)
    with (folder / "sparse" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 5, "accuracy": 0.94, "seconds": 6.0}\n{"epoch": 6, "accu')
    (progress,) = rest.read(folder)
    assert progress.errors[-1] == pytest.approx(0.06)
    assert len(progress.errors) == 5


def test_no_run(tmp_path) -> None:
    with pytest.raises(UsageError, match="holds no run of tithe train"):
        rest.read(tmp_path)
