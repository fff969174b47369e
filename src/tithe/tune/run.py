"""The job of `tithe tune`: trials until there are enough or the budget is spent, then the best one on all the data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tithe.cost.hardware import PROCESSOR
from tithe.cost.rates import Rates
from tithe.errors import Diverged, UsageError
from tithe.train import data
from tithe.train.data import Dataset
from tithe.train.defaults import complete, of_one_network
from tithe.train.files import write_json
from tithe.train.loop import Training
from tithe.train.network import sparse_network
from tithe.train.recipe import Recipe
from tithe.train.run import DEFAULT_DATA, Job
from tithe.train.run import run as train
from tithe.train.watch import Watch
from tithe.tune import shapes, study, trial
from tithe.tune.plan import STUDY, TRIALS, Cost, Plan, check_same, claimed, recorded
from tithe.tune.result import RESULT, result
from tithe.tune.space import fields, searched, space
from tithe.tune.trial import Outcome

DEFAULT_TRIALS, MOST_TRIALS = 20, 10_000
DEFAULT_VALIDATION = 0.1
DEFAULT_COST: Cost = "flop"  # exact on any machine, so the same command stops the same trials


@dataclass(frozen=True)
class Asked:
    """What was asked for. None and empty mean: not given, so the default, or what the folder's plan says."""

    out: Path
    resume: bool = False
    data: str | None = None
    data_dir: Path | None = None
    download: bool = False
    names: tuple[str, ...] = ()  # of what is tuned
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    trials: int | None = None
    budget: tuple[str, float] | None = None  # "flop" or "seconds", and how many all trials together may take
    cost: str | None = None
    validation: float | None = None
    within: float | None = None  # for the tactic `search`: fraction of the model's weights a trial may have
    options: dict[str, Any] = field(default_factory=dict)  # fields of the recipe; None: not given
    rates: dict[str, Any] = field(default_factory=dict)  # arguments of Rates.on
    ledger: bool = True


def run(
    asked: Asked,
    watch: Watch,
    watch_download: data.Progress | None = None,
    trained: Callable[[Training], None] = lambda training: None,
) -> dict[str, Any]:
    """Tune, or do what is left of it; what came out, as written to `result.json`.

    Args:
        asked: what was asked for.
        watch: is told how it goes.
        watch_download: as in `tithe.train.run.run`.
        trained: called with the last training, that of the best trial on all the data, when it is done.

    Raises:
        UsageError: something that was asked for is not possible. Nothing has been written.
        Diverged: the loss of every trial, or of the last training, is no longer finite.
    """
    study.library()
    _check(asked)
    before = recorded(asked.out)
    plan, dataset = _plan(asked, before, watch_download)
    if before is not None:
        check_same(asked.out, before, plan)
    tuning = Tuning(asked, plan, dataset)
    with claimed(asked.out, plan):
        outcomes = tuning.trials(watch)
        best = _best(outcomes)
        final = tuning.final(best, watch, trained)
        validating = len(data.held_out(dataset, plan.validation).y_test)
        found = result(plan, tuning.recipe, outcomes, best, final, validating)
        write_json(asked.out / RESULT, found)
        return found


class Tuning:
    """The plan's trials: their folders and recipes."""

    def __init__(self, asked: Asked, plan: Plan, dataset: Dataset) -> None:
        self.asked, self.plan, self.dataset = asked, plan, dataset
        self.shape = tuple(dataset.x_train.shape[1:])
        self.recipe = _recipe(plan.data, plan.options, self.shape)
        if self.recipe.threads is not None:
            torch.set_num_threads(self.recipe.threads)

    def trials(self, watch: Watch) -> list[Outcome]:
        """Do the trials that are not done yet; the outcomes of all, in their order."""
        outcomes = self._outcomes()
        names = [f"trial {number}" for number in range(max(self.plan.trials, len(outcomes)))]
        with study.opened(self.asked.out / STUDY) as opened:
            unfinished = study.begun(opened)
            done = {outcome.number: outcome for outcome in outcomes}
            if unfinished is not None and study.place(unfinished) in done:
                self._tell(opened, unfinished, done[study.place(unfinished)])
                unfinished = None
            watch.begin("trials", names, len(done))
            while unfinished is not None or self._wants_more(done):
                now = unfinished or study.ask(opened, self.plan, self.recipe.seed)
                unfinished = None
                outcome = self._do(opened, now, watch)
                self._tell(opened, now, outcome)
                done[outcome.number] = outcome
                watch.end(f"trial {outcome.number}", _described(outcome))
        return [done[number] for number in sorted(done)]

    def final(self, best: Outcome, watch: Watch, trained: Callable[[Training], None]) -> dict[str, Any]:
        """Train with the best trial's values on the whole training set; the report, errors on the test set."""
        options = {"compare": "none"} | self.plan.options | best.recipe | {"validation": 0.0}
        job = self._job(self.asked.out / f"best-{best.number:03}", options)
        return train(job, lambda tick: watch.training("the best, on all the data", tick), trained=trained)

    def _do(self, opened: Any, now: Any, watch: Watch) -> Outcome:
        number = study.place(now)
        params = {param.name: now.params[param.name] for param in self.plan.space}
        changed = self._changed(params)
        options = {"compare": "none"} | self.plan.options | changed | {"validation": self.plan.validation}
        job = self._job(self._folder(number), options)
        return trial.do(
            job,
            self._judge(opened, now),
            number,
            params,
            changed,
            lambda t: watch.training(f"trial {number}", t),
        )

    def _changed(self, params: Mapping[str, float]) -> dict[str, Any]:
        """The fields of the recipe that these values change."""
        if self.plan.within is None:
            return fields(params, self.recipe)
        return shapes.within(self.recipe.model or "", self.plan.within, params, self.shape, self.dataset.classes)

    def _wants_more(self, done: Mapping[int, Outcome]) -> bool:
        if self.plan.budget is not None:
            kind, amount = self.plan.budget
            if sum(outcome.spent(kind) for outcome in done.values()) >= amount:
                return False
        return len(done) < self.plan.trials

    def _tell(self, opened: Any, now: Any, outcome: Outcome) -> None:
        trial.tell(opened, self._judge(opened, now), outcome)

    def _judge(self, opened: Any, now: Any) -> study.Judge:
        return study.Judge(opened, now, self.plan.cost, self.recipe.epochs)

    def _outcomes(self) -> list[Outcome]:
        folders = sorted((self.asked.out / TRIALS).glob("[0-9]*"))
        return [outcome for outcome in map(trial.recorded, folders) if outcome is not None]

    def _folder(self, number: int) -> Path:
        return self.asked.out / TRIALS / f"{number:03}"

    def _job(self, out: Path, options: dict[str, Any]) -> Job:
        plan, asked = self.plan, self.asked
        where = Path(plan.data_dir) if plan.data_dir else None
        return Job(
            *(out, plan.data, where),
            resume=True,
            recipe=options,
            rates=asked.rates,
            ledger=asked.ledger,
            plan=False,
            pictures=False,
        )


def _described(outcome: Outcome) -> str:
    values = ", ".join(f"{name} {value:.3g}" for name, value in outcome.params.items())
    return f"{values}: {outcome.says()}"


def _best(outcomes: Sequence[Outcome]) -> Outcome:
    """The lowest error of those that went to their end; of equal ones the one with the least FLOP."""
    finished = [outcome for outcome in outcomes if outcome.finished]
    if not finished:
        raise Diverged("the loss of every trial became infinite or no number: try a lower --lr in another --out.")
    return min(finished, key=lambda outcome: (outcome.error, outcome.flop))


def _plan(asked: Asked, before: Plan | None, watch_download: data.Progress | None) -> tuple[Plan, Dataset]:
    """What is asked for as a plan; with `resume` what was not given is as in the plan before."""
    resumed = before if asked.resume else None
    spec = asked.data or (resumed.data if resumed else DEFAULT_DATA)
    data_dir = asked.data_dir or (Path(resumed.data_dir) if resumed and resumed.data_dir else None)
    given = {name: value for name, value in asked.options.items() if value is not None}
    options = (resumed.options if resumed else {}) | given
    complete(spec, options)  # says what is wrong with it before data are fetched
    dataset = data.load(spec, data_dir, asked.download, watch_download)
    recipe = _recipe(spec, options, tuple(dataset.x_train.shape[1:]))
    validation = asked.validation or (resumed.validation if resumed else DEFAULT_VALIDATION)
    _check_network(recipe, data.held_out(dataset, validation))
    if asked.within is not None:
        check_search(recipe, asked.within, dataset)
    if resumed and not asked.names and not asked.ranges:
        params = resumed.space
    else:
        params = space(asked.names, asked.ranges, recipe) if asked.within is None else searched(recipe)
    cost = asked.cost or (resumed.cost if resumed else asked.budget[0] if asked.budget else DEFAULT_COST)
    where = str(data_dir.absolute()) if data_dir is not None else None
    trials = asked.trials or (resumed.trials if resumed else DEFAULT_TRIALS)
    budget = asked.budget or (resumed.budget if resumed else None)
    source = (spec, where, dataset.sha256)
    return Plan(*source, options, params, _cost(cost), validation, trials, budget, asked.within), dataset


def _recipe(spec: str, options: dict[str, Any], shape: tuple[int, ...]) -> Recipe:
    return of_one_network(complete(spec, options | {"compare": "none"})).for_input(shape)


def _check_network(recipe: Recipe, dataset: Dataset) -> None:
    """Say what is wrong with model, method and density before anything is written."""
    with torch.random.fork_rng(devices=[]):
        sparse_network(recipe, dataset)


def check_search(recipe: Recipe, share: float, dataset: Dataset) -> None:
    """Say why no network with so few of the model's weights can be searched for.

    Raises:
        UsageError: they are too few for the deepest of them, or the model has no channels to choose.
    """
    model, shape = recipe.model or "", tuple(dataset.x_train.shape[1:])
    named = shapes.named(model)
    deepest = {"depth": named.deepest} if named else {}
    changed = shapes.within(model, share, deepest, shape, dataset.classes)
    _check_network(dataclasses.replace(recipe, **changed), dataset)


def _cost(text: str) -> Cost:
    if text == "flop" or text == "seconds":
        return text
    raise UsageError(f"--cost {text} is not known: choose one of {', '.join(study.UNITS)}.")


def _check(asked: Asked) -> None:
    Rates.on(PROCESSOR, **asked.rates)  # says what is wrong with them
    if asked.trials is not None and not 1 <= asked.trials <= MOST_TRIALS:
        raise UsageError(f"--trials {asked.trials} is not possible: give from 1 to {MOST_TRIALS}; 20 is a good start.")
    if asked.validation is not None and not 0 < asked.validation < 1:
        raise UsageError(
            f"--validation {asked.validation:g} is not possible: it is the fraction of the training set on which "
            "trials are judged, above 0 and below 1; 0.1 is a good start."
        )
    if asked.cost is not None:
        _cost(asked.cost)
    _check_budget(asked)


def _check_budget(asked: Asked) -> None:
    if asked.budget is None:
        return
    kind, amount = asked.budget
    if kind not in study.UNITS:
        raise UsageError(
            "an epoch costs more in one trial than in another, so epochs are no budget: give FLOP or seconds, such as "
            "2e12FLOP or 90s; --epochs says how long a trial is."
        )
    if asked.cost not in (None, kind):
        raise UsageError(
            f"a budget in {kind} and --cost {asked.cost} contradict each other: trials are stopped and paid for in one "
            "thing; leave --cost out."
        )
    if not 0 < amount < math.inf:
        raise UsageError(f"a budget of {amount:g} is not possible: give a finite number above 0.")
