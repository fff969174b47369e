"""The Optuna study of a tuning, in an SQLite file; which trial is next; when one is stopped.

Akiba et al. 2019, "Optuna", arXiv 1907.10902. Values are suggested by its tree-structured Parzen estimator. Trials are
stopped by its asynchronous successive halving (Li et al. 2018, arXiv 1810.05934, section 3), whose resource here is
what a trial has cost: FLOP or seconds of training, not epochs. The rungs are at 1/8, 1/4, 1/2, 1, 2, ... of what the
recipe as it is costs; who reaches one goes on if its error there is among the better half of those so far.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tithe.errors import UsageError
from tithe.tune.plan import Cost, Plan
from tithe.tune.space import Param

if TYPE_CHECKING:
    import optuna

NAME = "tithe"
UNITS: dict[str, float] = {"flop": 1e3, "seconds": 1e-6}
"""Optuna's steps are whole numbers: so many FLOP, or seconds, are one of them."""
HALVING = 2  # of those that reach a rung, one in so many goes on; and the next rung is so much further
FIRST_RUNG = 8  # it is at one part in so many of the recipe's cost
RANDOM_TRIALS = 6  # before the estimator has enough to go by
_RUNG, _PLACE, _STOPPED = "rung", "place", "stopped"


def library() -> Any:
    """Optuna.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise UsageError("tuning needs Optuna, which is not installed: pip install 'tithe[tune]'.") from error
    return optuna


@contextlib.contextmanager
def opened(path: Path) -> Iterator[optuna.Study]:
    """The study in this file, made where there is none.

    Raises:
        UsageError: the file is damaged or no study, or cannot be written.
    """
    optuna = library()
    from sqlalchemy import URL
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # progress is shown by whoever watches
    url = URL.create("sqlite", database=str(path.absolute())).render_as_string(hide_password=False)
    try:
        _check_file(path)
        storage = optuna.storages.RDBStorage(url)
    except (SQLAlchemyError, sqlite3.Error, RuntimeError, AssertionError) as error:
        raise UsageError(
            f"{path} is damaged, is no study or cannot be written ({_first_line(error)}); put it back, or tune in "
            "another folder with --out."
        ) from error
    try:
        yield optuna.create_study(storage=storage, study_name=NAME, direction="minimize", load_if_exists=True)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _check_file(path: Path) -> None:
    """Optuna looks at its file late; SQLite says at once whether it is whole."""
    if path.exists():
        with contextlib.closing(sqlite3.connect(path)) as connection:
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            raise sqlite3.DatabaseError(said)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]


def begun(study: optuna.Study) -> Any | None:
    """The trial that was begun and not ended, if there is one.

    One that was cut off before all its values were written down never began.
    """
    optuna = library()
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        if _PLACE in trial.user_attrs:
            return optuna.trial.Trial(study, trial._trial_id)
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return None


def ask(study: optuna.Study, plan: Plan, seed: int) -> Any:
    """The next trial: the recipe's own values first, then what the estimator suggests.

    The suggestion depends on the seed, the number of trials and what they reached, not on how often the tuning was
    interrupted.
    """
    optuna = library()
    states = optuna.trial.TrialState
    number = len(study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED)))
    study.sampler = optuna.samplers.TPESampler(seed=_seed(seed, number), n_startup_trials=RANDOM_TRIALS)
    if number == 0 and not study.get_trials(deepcopy=False, states=(states.WAITING,)):
        study.enqueue_trial({param.name: _value(param, param.start) for param in plan.space})
    trial = study.ask({param.name: _distribution(param) for param in plan.space})
    trial.set_user_attr(_PLACE, number)
    return trial


def place(trial: Any) -> int:
    """The trial's number among those that began: Optuna's own has gaps where one was cut off."""
    return trial.user_attrs[_PLACE]


def _seed(seed: int, number: int) -> int:
    digest = hashlib.sha256(f"trial {seed} {number}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def _value(param: Param, value: float) -> float:
    return int(value) if param.whole else float(value)


def _distribution(param: Param) -> Any:
    kinds = library().distributions
    if param.whole:
        return kinds.IntDistribution(int(param.low), int(param.high), log=param.log)
    return kinds.FloatDistribution(param.low, param.high, log=param.log)


class Judge:
    """Tells Optuna how far a trial has come at what cost, and asks whether it is to be stopped."""

    def __init__(self, study: optuna.Study, trial: Any, cost: Cost, epochs: int) -> None:
        self.study, self.trial, self.cost, self.epochs = study, trial, cost, epochs
        before = study.trials[trial.number].intermediate_values
        self._last = max(before, default=0)

    def stops(self, history: list[dict[str, Any]]) -> bool:
        """Whether the trial with these epochs is to be stopped; once it is, it stays so."""
        if self.trial.user_attrs.get(_STOPPED):
            return True
        if not self.note(history):
            return False
        self.trial.set_user_attr(_STOPPED, True)
        return True

    def note(self, history: list[dict[str, Any]]) -> bool:
        """Report what is new; whether Optuna would stop the trial. The first never is: nobody was there before it."""
        for row in history:
            step = self._step(row)
            if step > self._last:
                self.trial.report(1 - row["accuracy"], step)
                self._last = step
        return bool(history) and self._pruned(history)

    def diverged(self) -> None:
        """The trial's loss is no longer finite."""
        self.trial.report(float("nan"), self._last + 1)

    def _pruned(self, history: list[dict[str, Any]]) -> bool:
        """Ask; that writes down the error at a rung for the others."""
        rung = self.study.user_attrs.get(_RUNG) or self._rung(history[0])
        pruners = library().pruners
        self.study.pruner = pruners.SuccessiveHalvingPruner(min_resource=rung, reduction_factor=HALVING)
        return self.trial.should_prune()

    def _rung(self, first: dict[str, Any]) -> int:
        """The first rung, from what an epoch of the first trial costs; it stays."""
        rung = max(1, round(self.epochs * self._step(first) / FIRST_RUNG))
        self.study.set_user_attr(_RUNG, rung)
        return rung

    def _step(self, row: dict[str, Any]) -> int:
        spent = row["training_flop" if self.cost == "flop" else "seconds"]
        return max(1, round(spent / UNITS[self.cost]))
