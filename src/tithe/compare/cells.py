"""A comparison's runs: the folder and the recipe of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tithe.compare.asked import Asked
from tithe.compare.budget import Budget
from tithe.compare.execute import Spec
from tithe.compare.pilot import dense_flop
from tithe.compare.plan import PILOTS, RUNS, Plan
from tithe.compare.tactics import Tactic
from tithe.train.data import Dataset
from tithe.train.defaults import complete
from tithe.train.recipe import Recipe


@dataclass(frozen=True)
class Cell:
    """A tactic, how long it is trained, and its runs."""

    tactic: Tactic
    epochs: int
    specs: tuple[Spec, ...]  # one a seed


class Comparison:
    """A plan with its data; `budget` has its amount."""

    def __init__(self, asked: Asked, plan: Plan, dataset: Dataset) -> None:
        self.asked, self.plan, self.dataset = asked, plan, dataset
        self.shape = tuple(dataset.x_train.shape[1:])
        self.budget = self._with_amount(plan.budget)

    def recipe(self, tactic: Tactic) -> Recipe:
        """The tactic's, but for its epochs and seed."""
        return tactic.recipe(self.plan.data, self.plan.options, self.shape)

    def cells(self, epochs: Mapping[Tactic, int]) -> list[Cell]:
        """A cell a tactic, with its runs."""
        seeds = range(self.plan.seeds)
        return [Cell(t, epochs[t], tuple(self.run(t, epochs[t], seed) for seed in seeds)) for t in epochs]

    def run(self, tactic: Tactic, epochs: int, seed: int) -> Spec:
        """One run. Where its epochs had to be found, they are part of its name: others may have been tried."""
        fixed = self.plan.budget.kind == "epochs"
        return self._spec(tactic, epochs, seed, RUNS, named=not fixed)

    def pilot(self, tactic: Tactic, epochs: int) -> Spec:
        """A short training that only tells what an epoch takes."""
        return self._spec(tactic, epochs, 0, PILOTS, named=True)

    def _spec(self, tactic: Tactic, epochs: int, seed: int, where: str, named: bool) -> Spec:
        plan = self.plan
        said, end = (f", {epochs} epoch{'s'[: epochs > 1]}", f"-{epochs}-epochs") if named else ("", "")
        return Spec(
            f"{tactic.name}, seed {seed}{said}",
            self.asked.out / where / f"{tactic.folder}-seed-{seed}{end}",
            plan.data,
            Path(plan.data_dir) if plan.data_dir else None,
            self.asked.threads | tactic.options(plan.options) | {"epochs": epochs, "seed": seed, "compare": "none"},
            self.asked.rates,
            self.asked.ledger and where == RUNS,
        )

    def _with_amount(self, budget: Budget) -> Budget:
        if budget.amount is not None:
            return budget
        recipe = complete(self.plan.data, self.plan.options).for_input(self.shape)
        return Budget("flop", dense_flop(recipe, self.dataset))
