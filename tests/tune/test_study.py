"""The study in its file: the same suggestions however often it was interrupted, and a pruner that goes by cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tithe.errors import UsageError
from tithe.tune import study
from tithe.tune.plan import Plan
from tithe.tune.space import Param

SPACE = (Param("lr", 0.01, 1.0, 0.1, log=True), Param("depth", 1, 4, 2, whole=True))
PLAN = Plan("digits", None, "", {}, SPACE, "flop", 0.1, trials=9, budget=None)


def error(params: dict[str, float]) -> float:
    return abs(params["lr"] - 0.3) + 0.1 * params["depth"]


def suggested(path: Path, trials: int, reopen: bool = False) -> list[dict[str, float]]:
    """What so many trials that go to their end try; the file is closed and opened again between them if wanted."""
    found = []
    for _ in range(trials if reopen else 1):
        with study.opened(path) as opened:
            for _ in range(1 if reopen else trials):
                trial = study.ask(opened, PLAN, seed=3)
                found.append(trial.params)
                opened.tell(trial.number, error(trial.params))
    return found


def test_the_first_trial_is_the_recipe_and_interruptions_change_nothing(tmp_path):
    whole = suggested(tmp_path / "a.sqlite", 9)
    assert whole[0] == {"lr": 0.1, "depth": 2}
    assert suggested(tmp_path / "b.sqlite", 9, reopen=True) == whole
    assert len({params["lr"] for params in whole}) == 9


def test_a_trial_that_was_begun_is_gone_on_with_and_half_of_one_never_was(tmp_path):
    path = tmp_path / "study.sqlite"
    first = suggested(path, 2)
    with study.opened(path) as opened:
        cut_off = opened.ask()  # killed before its values were written down
    with study.opened(path) as opened:
        assert study.begun(opened) is None
        now = study.ask(opened, PLAN, seed=3)
        assert study.place(now) == now.number - 1, "trials are numbered without a gap"
        assert now.number == cut_off.number + 1
    with study.opened(path) as opened:
        again = study.begun(opened)
        assert again is not None
        assert (again.number, again.params) == (now.number, now.params)
    assert [*first, now.params] == suggested(tmp_path / "whole.sqlite", 3)


def epochs(flop_each: float, errors: list[float]) -> list[dict[str, Any]]:
    return [
        {"accuracy": 1 - error, "training_flop": flop_each * (place + 1), "seconds": 1.0 + place}
        for place, error in enumerate(errors)
    ]


def stopped_after(opened: Any, flop_each: float, errors: list[float]) -> int | None:
    """After how many epochs a trial with these errors is stopped; None: it is not."""
    trial = study.ask(opened, PLAN, seed=0)
    judge = study.Judge(opened, trial, "flop", epochs=8)
    for place in range(1, len(errors)):
        if judge.stops(epochs(flop_each, errors[:place])):
            opened.tell(trial.number, state=study.library().trial.TrialState.PRUNED)
            return place
    judge.note(epochs(flop_each, errors))
    opened.tell(trial.number, errors[-1])
    return None


def test_cost_and_not_epochs_decides_who_is_stopped(tmp_path):
    """The same errors after each epoch: at the price of the recipe they go on, at four times the price they do not."""
    falling = [0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1]
    for price, stopped in ((1e6, None), (4e6, 1)):
        with study.opened(tmp_path / f"{price}.sqlite") as opened:
            assert stopped_after(opened, 1e6, falling) is None  # the recipe as it is
            assert stopped_after(opened, price, [0.99 * error for error in falling]) == stopped


def test_the_recipe_as_it_is_is_never_stopped_and_worse_ones_are(tmp_path):
    with study.opened(tmp_path / "study.sqlite") as opened:
        assert stopped_after(opened, 1e6, [0.9] * 8) is None
        assert stopped_after(opened, 1e6, [0.5] * 8) is None
        assert stopped_after(opened, 1e6, [0.7] * 8) == 1


def test_a_stopped_trial_stays_stopped_after_a_kill(tmp_path):
    path, bad = tmp_path / "study.sqlite", epochs(1e6, [0.9])
    with study.opened(path) as opened:
        stopped_after(opened, 1e6, [0.5] * 8)
        assert study.Judge(opened, study.ask(opened, PLAN, 0), "flop", 8).stops(bad)
    with study.opened(path) as opened:
        assert study.Judge(opened, study.begun(opened), "flop", 8).stops(bad)


def test_a_damaged_study_is_one_sentence(tmp_path):
    path = tmp_path / "study.sqlite"
    suggested(path, 1)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UsageError, match="is damaged"), study.opened(path):
        pass
    path.write_bytes(b"no database" * 100)
    with pytest.raises(UsageError, match="is damaged"), study.opened(path):
        pass


def test_without_optuna_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(UsageError, match=r"pip install 'tithe\[tune\]'"):
        study.library()
