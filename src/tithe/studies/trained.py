"""Networks that a study trains: methods at densities over seeds, each once, by the code of `tithe compare`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tithe.compare.cells import Cell
from tithe.compare.execute import DIVERGED, Spec, execute, read
from tithe.compare.tactics import Tactic, combined, possible
from tithe.cost.hardware import cores
from tithe.errors import UsageError
from tithe.methods import find
from tithe.train.data import Dataset
from tithe.train.defaults import complete
from tithe.train.files import make_folder
from tithe.train.recipe import Recipe
from tithe.train.results import plain
from tithe.train.watch import Watch

RUNS = "runs"


@dataclass(frozen=True)
class Grid:
    """What is trained on one data set with one model."""

    data: str
    data_dir: Path | None
    model: str
    options: Mapping[str, Any]  # fields of the recipe beside model, method, density and seed; with the epochs
    methods: tuple[str, ...]
    densities: tuple[float, ...]
    seeds: int

    @property
    def epochs(self) -> int:
        """Of each run."""
        return self.options["epochs"]

    def tactics(self, dataset: Dataset) -> tuple[list[Tactic], dict[str, str]]:
        """Those that are possible, and why not for the others.

        Raises:
            UsageError: a method, density or model that is not known, or with which none is possible.
        """
        return possible(combined(self.methods, self.densities), self.data, dataset, self._options())

    def spec(self, tactic: Tactic, seed: int, out: Path, threads: int | None) -> Spec:
        """One run. Its folder's name holds what may differ between two calls of a study."""
        where = f"{Path(self.data).stem}-{self.model.replace(':', '-')}-{self.epochs}-epochs"
        recipe = tactic.options(self._options()) | {"seed": seed, "compare": "none"}
        return Spec(
            f"{self.model}, {tactic.name}, seed {seed}",
            out / RUNS / where / f"{tactic.folder}-seed-{seed}",
            self.data,
            self.data_dir,
            recipe | ({} if threads is None else {"threads": threads}),
            ledger=False,
        )

    def _options(self) -> dict[str, Any]:
        return dict(self.options) | {"model": self.model}


@dataclass(frozen=True)
class Trained:
    """One tactic's finished runs."""

    model: str
    tactic: Tactic
    epochs: int
    by_seed: Mapping[int, float]  # percent of the test examples; without the seeds that diverged
    flop: float  # mean over the seeds
    seconds: float
    diverged: int

    @property
    def accuracy(self) -> tuple[float, ...]:
        """Percent of the test examples, a seed each."""
        return tuple(self.by_seed.values())

    @property
    def density(self) -> float:
        """1 for methods that have none."""
        return 1.0 if self.tactic.density is None else self.tactic.density


Cells = list[tuple[Grid, Cell]]


def cells(
    grids: Sequence[Grid], datasets: Mapping[str, Dataset], out: Path, processes: int, threads: int | None
) -> tuple[Cells, dict[str, str]]:
    """Each tactic with its runs, and why others are left out.

    Raises:
        UsageError: something is not possible.
    """
    if processes < 1:
        raise UsageError(f"--processes {processes} is not possible: give 1 or more.")
    if processes > 1 and threads is None:
        threads = max(1, cores() // processes)
    if threads is not None:
        Recipe(model=None, threads=threads)  # says what is wrong with them
        torch.set_num_threads(threads)
    found: Cells = []
    left_out: dict[str, str] = {}
    for grid in grids:
        tactics, missing = grid.tactics(datasets[grid.data])
        left_out |= {f"{name} of {grid.model}": reason for name, reason in missing.items()}
        for tactic in tactics:
            specs = tuple(grid.spec(tactic, seed, out, threads) for seed in range(grid.seeds))
            found.append((grid, Cell(tactic, grid.epochs, specs)))
    return found, left_out


def run(todo: Cells, datasets: Mapping[str, Dataset], processes: int, watch: Watch) -> None:
    """Train what is missing, seed by seed.

    Raises:
        UsageError: a finished run is another one than what is asked for.
    """
    for _, cell in todo:
        make_folder(cell.specs[0].folder.parent)
    longest = max(len(cell.specs) for _, cell in todo)
    by_seed = [cell.specs[seed] for seed in range(longest) for _, cell in todo if seed < len(cell.specs)]
    execute("runs", by_seed, processes, watch)
    for grid, cell in todo:
        for spec in _finished(cell):
            _check(read(spec), spec, datasets[grid.data])


def train(
    grids: Sequence[Grid],
    datasets: Mapping[str, Dataset],
    out: Path,
    processes: int | None,
    threads: int | None,
    watch: Watch,
) -> tuple[list[Trained], dict[str, str]]:
    """Train what is missing, seed by seed; tactics with a finished run, and why others are left out.

    Raises:
        UsageError: something is not possible, or the folder holds other runs.
    """
    processes = 1 if processes is None else processes
    todo, left_out = cells(grids, datasets, out, processes, threads)
    run(todo, datasets, processes, watch)
    found = [_trained(grid, cell) for grid, cell in todo]
    left_out |= {f"{t.tactic.name} of {t.model}": "every run diverged" for t in found if not t.accuracy}
    return [each for each in found if each.accuracy], left_out


def only(given: Sequence[str], option: str) -> str | None:
    """The one value of an option, or None.

    Raises:
        UsageError: there are several.
    """
    if len(given) > 1:
        raise UsageError(
            f"--{option} was given {len(given)} times; this study takes one: run it once for each, in its own --out."
        )
    return given[0] if given else None


def _finished(cell: Cell) -> list[Spec]:
    return [spec for spec in cell.specs if not (spec.folder / DIVERGED).exists()]


def _trained(grid: Grid, cell: Cell) -> Trained:
    halves = {spec.recipe["seed"]: read(spec)["sparse"] for spec in _finished(cell)}
    return Trained(
        grid.model,
        cell.tactic,
        cell.epochs,
        {seed: 100 * half["accuracy"] for seed, half in halves.items()},
        statistics.fmean(half["training_flop"] for half in halves.values()) if halves else 0.0,
        statistics.fmean(half["seconds"] for half in halves.values()) if halves else 0.0,
        len(cell.specs) - len(halves),
    )


def _check(report: Mapping[str, Any], spec: Spec, dataset: Dataset) -> None:
    if report["data"]["sha256"] != dataset.sha256:
        raise UsageError(f"{spec.folder} holds a run on other data than {dataset.name}; choose another --out.")
    # A search's report has the recipe of the network that was found; what was asked for is in the folder's name.
    found = ("model", "method", "density", "taper") if find(spec.recipe["method"]).searches else ()
    recipe = plain(complete(spec.data, spec.recipe).for_input(tuple(dataset.x_train.shape[1:])))
    for name, value in recipe.items():
        had = report["recipe"].get(name, value)
        if name not in ("threads", *found) and had != value:
            raise UsageError(f"{spec.folder} holds a run with {name} {had}, not {value}; choose another --out.")
