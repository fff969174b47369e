"""The tactic `search`: depth and widths of a dense network by Optuna, the whole search paid for in the bill.

Every trial is a dense network with at most density x the model's weights; how its widths taper, and the depth where the
model's name says one, are Optuna's choice, its widths follow from the number of weights. The best on a part of the
training set is then trained on all of it. Time, FLOP, energy and money of all trials are added to those of that
training.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tithe.cost.figure import Figure
from tithe.errors import UsageError
from tithe.methods import find
from tithe.train.data import Dataset, Progress
from tithe.train.files import write_json
from tithe.train.loop import Tick, Training
from tithe.train.outdir import REPORT
from tithe.train.outdir import recorded as run_there
from tithe.train.recipe import Recipe
from tithe.train.run import Job
from tithe.train.watch import Watch
from tithe.tune import study
from tithe.tune.plan import PLAN, recorded
from tithe.tune.run import Asked, check_search, run
from tithe.tune.trial import BILLED

TRIALS = 10
FOLDER = "search"
BEGUN = f"{FOLDER}/{PLAN}"


def check(recipe: Recipe, dataset: Dataset) -> None:
    """Say why a search is not possible with this model.

    Raises:
        UsageError: no Optuna, a model without channels to choose, or a density too small for the deepest network.
    """
    study.library()
    check_search(recipe, recipe.density, dataset)


def search(
    job: Job, watch: Callable[[Tick], None], trained: Callable[[Training], None] = lambda training: None
) -> dict[str, Any]:
    """Do the job, whose recipe has the method `search`, or what is left of it; the report, as in its `report.json`.

    Args:
        job: as `tithe.train.run.run` takes it.
        watch: called while a network trains.
        trained: called with the last training, that of the best network.

    Raises:
        UsageError: something in the job is not possible.
        Diverged: the loss of every trial, or of the last training, is no longer finite.
    """
    return _searched(job, _Quiet(watch), trained=trained)


def alone(job: Job, watch: Watch, watch_download: Progress | None = None) -> dict[str, Any]:
    """The same for `tithe train`, which has no dense network beside it: that is `tithe compare`.

    Raises:
        UsageError, Diverged: as above, or the folder holds something else or a search that is not to be gone on with.
    """
    if job.recipe.get("compare") not in (None, "none"):
        raise UsageError(
            "method search trains many networks and no dense one beside them: leave --compare out, or see "
            "tithe compare --methods search,dense."
        )
    begun = recorded(job.out / FOLDER)
    if begun is None:
        run_there(job.out, resume=False)  # says what else is in that folder
    elif not job.resume:
        raise UsageError(
            f"{job.out} already holds a search; continue it with --resume or choose another folder with --out."
        )
    return _searched(job, watch, watch_download, within=None if begun is None else begun.within)


def asked_for(job: Job) -> bool:
    """Whether the job is a search, or goes on with one."""
    if job.recipe.get("method") is None:
        return job.resume and (job.out / BEGUN).exists()
    return find(job.recipe["method"]).searches


def _searched(
    job: Job,
    watch: Watch,
    watch_download: Progress | None = None,
    trained: Callable[[Training], None] = lambda training: None,
    within: float | None = None,
) -> dict[str, Any]:
    options = {name: value for name, value in job.recipe.items() if name not in ("method", "density", "compare")}
    density = job.recipe.get("density") or within or Recipe.density
    asked = Asked(
        out=job.out / FOLDER,
        resume=job.resume,
        data=job.data,
        data_dir=job.data_dir,
        download=job.download,
        trials=TRIALS,
        within=density,
        rates=job.rates,
        ledger=job.ledger,
        options=options | {"method": "dense"},
    )
    found = run(asked, watch, watch_download, trained)
    report = _billed(_last(asked.out, found), found)
    write_json(job.out / REPORT, report)
    return report


@dataclass(frozen=True)
class _Quiet:
    """Tells only how the network that trains now comes on."""

    watch: Callable[[Tick], None]

    def begin(self, what: str, names: Any, done: int) -> None:
        """Nothing."""

    def training(self, name: str, tick: Tick) -> None:
        """Hand it on."""
        self.watch(tick)

    def end(self, name: str, says: str) -> None:
        """Nothing."""


def _last(out: Path, found: dict[str, Any]) -> dict[str, Any]:
    return json.loads((out / f"best-{found['best']['number']:03}" / REPORT).read_bytes())


def _billed(report: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """The report with all trials added to what its half took."""
    half, trials, recipe = report["sparse"], found["trials"], report["recipe"]
    shrunk = ("density", "taper") if recipe["method"] == "small-dense" else ()
    searching = {
        "trials": len(trials),
        **{name: recipe[name] for name in ("model", *shrunk)},  # of the network that was found
        "training_flop": sum(trial["flop"] for trial in trials),
        "seconds": sum(trial["seconds"] for trial in trials),
    }
    half = half | {
        "training_flop": half["training_flop"] + searching["training_flop"],
        "seconds": half["seconds"] + searching["seconds"],
        "peak_bytes": max(half["peak_bytes"], *(trial["peak_bytes"] for trial in trials)),
        "bill": _summed(half["bill"], found["bill"]["tuning"]),
        "search": searching,
    }
    return report | {"method": "search", "model": found["model"], "sparse": half}


def _summed(bill: dict[str, Any] | None, trials: dict[str, Any]) -> dict[str, Any] | None:
    """The last training's bill with that of the trials; what one of them does not know is not known."""
    if bill is None:
        return None
    both = {name: (bill[name], trials.get(name)) for name in BILLED}
    sums = {
        name: Figure.from_json(last).plus(Figure.from_json(more)).json() if last and more else None
        for name, (last, more) in both.items()
    }
    return bill | sums
