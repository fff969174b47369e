"""The job of `tithe compare`: plan, pilots where the budget asks for them, runs, and what came out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tithe.compare import pilot
from tithe.compare.budget import DENSE_FLOP, Budget, parsed
from tithe.compare.execute import DIVERGED, Spec, Watch, execute, read
from tithe.compare.plan import PILOTS, RUNS, Plan, check_same, claimed, recorded
from tithe.compare.result import RESULT, Cell, result
from tithe.compare.tactics import Tactic, combined, possible
from tithe.cost.hardware import PROCESSOR, cores
from tithe.cost.rates import Rates
from tithe.errors import UsageError
from tithe.train import data
from tithe.train.data import Dataset
from tithe.train.defaults import complete
from tithe.train.files import write_json
from tithe.train.recipe import timetable
from tithe.train.run import DEFAULT_DATA

DEFAULT_METHODS = ("sparse-momentum", "rigl", "set", "static", "dense")
DEFAULT_DENSITIES = (0.05,)
DEFAULT_SEEDS, DEFAULT_INFERENCES = 3, 1e6
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Asked:
    """What was asked for. None and empty mean: not given, so the default, or what the folder's plan says."""

    out: Path
    resume: bool = False
    data: str | None = None
    data_dir: Path | None = None
    download: bool = False
    methods: tuple[str, ...] = ()
    densities: tuple[float, ...] = ()
    seeds: int | None = None
    budget: tuple[str, ...] = ()
    epochs: int | None = None
    options: dict[str, Any] = field(default_factory=dict)  # fields of the recipe; None: not given
    rates: dict[str, Any] = field(default_factory=dict)  # arguments of Rates.on
    inferences: float = DEFAULT_INFERENCES
    cost: str = "usd"
    processes: int = 1
    ledger: bool = True


def run(asked: Asked, watch: Watch, watch_download: data.Progress | None = None) -> dict[str, Any]:
    """Do the comparison, or what is left of it; what came out, as written to `result.json`.

    Raises:
        UsageError: something that was asked for is not possible. Nothing has been written.
    """
    _check(asked)
    before = recorded(asked.out)
    plan, dataset = _plan(asked, before, watch_download)
    if before is not None:
        check_same(asked.out, before, plan)
        plan = before
    _set_threads(plan, asked)
    with claimed(asked.out, plan):
        comparison = Comparison(asked, plan, dataset)
        epochs, too_dear = comparison.epochs(watch)
        cells = comparison.cells(epochs)
        by_seed = [spec for seed in zip(*(cell.specs for cell in cells), strict=True) for spec in seed]
        execute("runs", by_seed, asked.processes, watch)  # by seed: a machine that gets slower does so for all alike
        left_out = plan.left_out | too_dear
        found = result(plan, cells, left_out, dataset, asked.inferences, asked.cost, asked.processes)
        write_json(asked.out / RESULT, found)
        return found


class Comparison:
    """The plan's runs: their folders and recipes."""

    def __init__(self, asked: Asked, plan: Plan, dataset: Dataset) -> None:
        self.asked, self.plan, self.dataset = asked, plan, dataset
        self.shape = tuple(dataset.x_train.shape[1:])

    def epochs(self, watch: Watch) -> tuple[dict[Tactic, int], dict[str, str]]:
        """Epochs of each tactic, and for those of which not one epoch fits the budget, by name, that it is so."""
        budget, tactics = self.plan.budget, self.plan.tactics
        if budget.kind == "epochs":
            assert budget.amount is not None
            return dict.fromkeys(tactics, int(budget.amount)), {}
        found = self._piloted(self._with_amount(budget), watch)
        too_dear = f"one epoch takes more than twice {budget.says()}: give a larger budget"
        left_out = {tactic.name: too_dear for tactic, epochs in found.items() if not epochs}
        if len(left_out) == len(found):
            raise UsageError(f"for every method {too_dear}.")
        return {tactic: epochs for tactic, epochs in found.items() if epochs}, left_out

    def cells(self, epochs: Mapping[Tactic, int]) -> list[Cell]:
        """A cell a tactic, with its runs."""
        seeds = range(self.plan.seeds)
        return [Cell(t, epochs[t], tuple(self._spec(t, epochs[t], seed) for seed in seeds)) for t in epochs]

    def _with_amount(self, budget: Budget) -> Budget:
        if budget.amount is not None:
            return budget
        recipe = complete(self.plan.data, self.plan.options).for_input(self.shape)
        return Budget("flop", pilot.dense_flop(recipe, self.dataset))

    def _piloted(self, budget: Budget, watch: Watch) -> dict[Tactic, int]:
        specs = {tactic: self._pilots(tactic) for tactic in self.plan.tactics}
        execute("pilots", [spec for pair in specs.values() for spec in pair], self.asked.processes, watch)
        name = "training_flop" if budget.kind == "flop" else "seconds"
        found = {}
        for tactic, pair in specs.items():
            if any((spec.folder / DIVERGED).exists() for spec in pair):
                found[tactic] = pair[-1].recipe["epochs"]  # its runs will most likely diverge, and say so
                continue
            halves = [read(spec)["sparse"] for spec in pair]
            recipe = tactic.recipe(self.plan.data, self.plan.options, self.shape)
            times = timetable(recipe, len(self.dataset.y_train))
            found[tactic] = pilot.epochs_for(budget, [(half["epochs"], half[name]) for half in halves], times)
        return found

    def _pilots(self, tactic: Tactic) -> list[Spec]:
        recipe = tactic.recipe(self.plan.data, self.plan.options, self.shape)
        both = pilot.lengths(recipe, len(self.dataset.y_train))
        return [self._spec(tactic, epochs, 0, PILOTS, f"-{epochs}-epochs") for epochs in both]

    def _spec(self, tactic: Tactic, epochs: int, seed: int, where: str = RUNS, end: str = "") -> Spec:
        plan = self.plan
        return Spec(
            f"{tactic.name}, seed {seed}",
            self.asked.out / where / f"{tactic.folder}-seed-{seed}{end}",
            plan.data,
            Path(plan.data_dir) if plan.data_dir else None,
            tactic.options(plan.options) | {"epochs": epochs, "seed": seed, "compare": "none"} | _threads(self.asked),
            self.asked.rates,
            self.asked.ledger and where == RUNS,
        )


def _plan(asked: Asked, before: Plan | None, watch_download: data.Progress | None) -> tuple[Plan, Dataset]:
    """What is asked for as a plan; with `resume` what was not given is as in the plan before."""
    resumed = before if asked.resume else None
    spec = asked.data or (resumed.data if resumed else DEFAULT_DATA)
    data_dir = asked.data_dir or (Path(resumed.data_dir) if resumed and resumed.data_dir else None)
    if not asked.resume or before is None:
        combined(asked.methods or DEFAULT_METHODS, asked.densities or DEFAULT_DENSITIES)  # before data are fetched
    budget = parsed(asked.budget, asked.epochs)
    if resumed and not asked.budget and asked.epochs is None:
        budget = resumed.budget
    options = {name: value for name, value in asked.options.items() if value is not None}
    if budget == DENSE_FLOP and asked.epochs is not None:
        options["epochs"] = asked.epochs
    options = (resumed.options if resumed else {}) | options
    if budget == Budget("epochs", None):
        budget = Budget("epochs", complete(spec, options).epochs)
    dataset = data.load(spec, data_dir, asked.download, watch_download)
    if resumed and not asked.methods and not asked.densities:
        tactics, left_out = list(resumed.tactics), resumed.left_out
    else:
        wanted = combined(asked.methods or DEFAULT_METHODS, asked.densities or DEFAULT_DENSITIES)
        tactics, left_out = possible(wanted, spec, dataset, options)
    seeds = asked.seeds or (resumed.seeds if resumed else DEFAULT_SEEDS)
    where = str(data_dir.absolute()) if data_dir is not None else None
    return Plan(spec, where, dataset.sha256, options, tuple(tactics), left_out, seeds, budget), dataset


def _check(asked: Asked) -> None:
    Rates.on(PROCESSOR, **asked.rates)  # says what is wrong with them
    if asked.seeds is not None and not 1 <= asked.seeds <= MOST_SEEDS:
        raise UsageError(f"--seeds {asked.seeds} is not possible: give from 1 to {MOST_SEEDS}; 3 is a good start.")
    if not 0 <= asked.inferences < math.inf:
        raise UsageError(f"--inferences {asked.inferences:g} is not possible: give a finite number, 0 or more.")
    if asked.processes < 1:
        raise UsageError(f"--processes {asked.processes} is not possible: give 1 or more.")


def _threads(asked: Asked) -> dict[str, Any]:
    """Runs beside each other share the cores, unless told otherwise."""
    given = asked.options.get("threads")
    if given is not None or asked.processes == 1:
        return {}
    return {"threads": max(1, cores() // asked.processes)}


def _set_threads(plan: Plan, asked: Asked) -> None:
    threads = asked.options.get("threads") or plan.options.get("threads")
    if threads:
        torch.set_num_threads(threads)


def names(methods: Sequence[str]) -> tuple[str, ...]:
    """The words of a list with commas: ["a,b", "c"] -> a, b, c."""
    return tuple(word.strip() for text in methods for word in text.split(",") if word.strip())
