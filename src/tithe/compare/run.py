"""The job of `tithe compare`: plan, epochs where the budget leaves them open, runs, and what came out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tithe.compare import equal
from tithe.compare.asked import DEFAULT_DENSITIES, DEFAULT_METHODS, DEFAULT_SEEDS, Asked
from tithe.compare.budget import DENSE_FLOP, Budget, parsed
from tithe.compare.cells import Comparison
from tithe.compare.execute import execute
from tithe.compare.plan import Plan, check_same, claimed, recorded
from tithe.compare.result import RESULT, result
from tithe.compare.tactics import combined, possible
from tithe.train import data
from tithe.train.data import Dataset
from tithe.train.defaults import complete
from tithe.train.files import write_json
from tithe.train.run import DEFAULT_DATA
from tithe.train.watch import Watch


def run(asked: Asked, watch: Watch, watch_download: data.Progress | None = None) -> dict[str, Any]:
    """Do the comparison, or what is left of it; what came out, as written to `result.json`.

    Raises:
        UsageError: something that was asked for is not possible. Nothing has been written.
    """
    asked.check()
    before = recorded(asked.out)
    plan, dataset = _plan(asked, before, watch_download)
    if before is not None:
        check_same(asked.out, before, plan)
        plan = before
    _set_threads(plan, asked)
    with claimed(asked.out, plan):
        comparison = Comparison(asked, plan, dataset)
        epochs, too_dear = equal.epochs(comparison, watch)
        cells = comparison.cells(epochs)
        by_seed = [spec for seed in zip(*(cell.specs for cell in cells), strict=True) for spec in seed]
        execute("runs", by_seed, asked.processes, watch)  # by seed: a machine that gets slower does so for all alike
        found = result(comparison, cells, plan.left_out | too_dear)
        write_json(asked.out / RESULT, found)
        return found


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


def _set_threads(plan: Plan, asked: Asked) -> None:
    threads = asked.options.get("threads") or plan.options.get("threads")
    if threads:
        torch.set_num_threads(threads)
