"""The job of `tithe train`: a network trained sparse, then the same network dense, and what came out of it."""

import dataclasses
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import tithe
from tithe.cost.hardware import PROCESSOR
from tithe.cost.rates import Rates
from tithe.errors import Diverged, UsageError
from tithe.report import curves, first_layer
from tithe.train import data, planning, recording
from tithe.train.batches import check_augmentation
from tithe.train.defaults import complete, of_one_network
from tithe.train.files import write_json
from tithe.train.loop import StoppedEarly, Tick, Training
from tithe.train.network import Network, dense_network, sparse_network
from tithe.train.outdir import REPORT, claimed, recorded
from tithe.train.recipe import Recipe
from tithe.train.results import half_report, plain, report

FORMAT = 1
DEFAULT_DATA = "digits"
NOT_IDENTITY = ("threads", "compare")
"""What may differ between a run and its continuation: it does not change what a network learns from a batch. (Other
threads may change the last bits of the dense half.)"""
LATER = {"bf16": False, "remove_dead": False, "validation": 0.0, "supar": None, "taper": None}
"""Fields that recipes did not always have, and what they were then: left out of the identity while they are that, so
that older checkpoints go on."""


@dataclass(frozen=True)
class Job:
    """What was asked for. None means: not given, so the default, or with `resume` what the run was started with."""

    out: Path
    data: str | None = None
    data_dir: Path | None = None
    download: bool = False
    resume: bool = False
    recipe: dict[str, Any] = field(default_factory=dict)  # fields of Recipe
    rates: dict[str, Any] = field(default_factory=dict)  # arguments of Rates.on
    ledger: bool = True  # whether the run is recorded
    plan: bool = True  # whether it is planned first; a few steps are measured for that
    pictures: bool = True  # whether curves are drawn


def run(
    job: Job,
    watch: Callable[[Tick], None] = lambda tick: None,
    watch_download: data.Progress | None = None,
    trained: Callable[[Training], None] = lambda training: None,
    before_epoch: Callable[[Training], None] = lambda training: None,
) -> dict[str, Any]:
    """Do the job, or what is left of it; the report, as written to `report.json`.

    Args:
        job: what was asked for.
        watch: called a few times a second while a network trains, and after each epoch.
        watch_download: called with file name, bytes done and bytes in all while a file is fetched.
        trained: called with each half when it is trained, before `report.json` says that the run is finished.
        before_epoch: called with each half before each of its epochs; it may raise StoppedEarly.

    Raises:
        UsageError: something in the job is not possible. Nothing has been written.
        Diverged: a loss is no longer finite. The last checkpoint stays.
        StoppedEarly: from `before_epoch`. The run can be gone on with.
    """
    Rates.on(PROCESSOR, **job.rates)  # says what is wrong with them before anything is done
    record = recorded(job.out, job.resume)
    recipe = _recipe(job, record)
    if record is not None and job.data in (None, record["data"]["spec"]):
        finished = _finished(job.out, recipe)
        if finished is not None:
            return finished
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    dataset, source = _load(job, record, recipe.validation, watch_download)
    recipe = recipe.for_input(tuple(dataset.x_train.shape[1:]))
    check_augmentation(recipe, tuple(dataset.x_train.shape[1:]))
    sparse = sparse_network(
        recipe, dataset
    )  # before anything is written: this says what is wrong with model and density
    uid = (record or {}).get("uid") or uuid.uuid4().hex
    plan = record.get("plan") if record is not None else _plan(job, recipe, dataset)
    start = {"format": FORMAT, "tithe": tithe.__version__, "uid": uid, "data": source, "recipe": plain(recipe)}
    start["plan"] = plan
    with claimed(job.out, start):
        halves = {"sparse": _train("sparse", sparse, dataset, recipe, job, start, watch, trained, before_epoch)}
        del sparse  # its memory is not the dense half's
        if recipe.compare == "dense":
            dense = dense_network(recipe, dataset)
            halves["dense"] = _train("dense", dense, dataset, recipe, job, start, watch, trained, before_epoch)
        return _finish(job, report(dataset, recipe, halves["sparse"], halves.get("dense"), plan))


def _train(
    half: str,
    network: Network,
    dataset: data.Dataset,
    recipe: Recipe,
    job: Job,
    start: dict[str, Any],
    watch: Callable[[Tick], None],
    trained: Callable[[Training], None],
    before_epoch: Callable[[Training], None],
) -> dict[str, Any]:
    rates, whose = Rates.on(PROCESSOR, **job.rates), identity(half, recipe, dataset)
    training = Training(half, network, dataset, recipe, job.out / half, whose, watch, rates, before_epoch)
    try:
        training.run()
    except (Diverged, StoppedEarly) as end:
        training.spending.note(training.flop.total)  # an epoch that was not finished is paid for too
        _record(start["uid"], training, job, None, "diverged" if isinstance(end, Diverged) else "stopped")
        raise
    trained(training)
    against_plan = planning.checked(start["plan"], training)
    _record(start["uid"], training, job, against_plan)
    return half_report(training) | {"plan": against_plan}


def _plan(job: Job, recipe: Recipe, dataset: data.Dataset) -> dict[str, Any] | None:
    return planning.before_training(recipe, dataset, job.rates) if job.plan else None


def _record(
    uid: str, training: Training, job: Job, against_plan: dict[str, Any] | None, ended: str = "diverged"
) -> None:
    if job.ledger:
        recording.record(recording.row(uid, training, against_plan, ended))


def identity(half: str, recipe: Recipe, dataset: data.Dataset) -> dict[str, Any]:
    """Whose checkpoint it is; a checkpoint continues only under the same identity."""
    fields = {
        name: value
        for name, value in plain(recipe).items()
        if name not in NOT_IDENTITY and (name not in LATER or value != LATER[name])
    }
    return {"half": half, "data": dataset.sha256, **fields}


def _recipe(job: Job, record: dict[str, Any] | None) -> Recipe:
    """A new run's recipe, or the recorded one if nothing that was given contradicts it."""
    if record is None:
        return of_one_network(complete(job.data or DEFAULT_DATA, job.recipe))
    try:
        recipe = Recipe(**(record["recipe"] | {"lr_drops": tuple(record["recipe"]["lr_drops"])}))
    except (TypeError, KeyError) as error:
        raise UsageError(
            f"{job.out}/run.json was written by another version of tithe; resume it with that one."
        ) from error
    given = {name: value for name, value in job.recipe.items() if value is not None}
    for name, value in given.items():
        if name not in NOT_IDENTITY and value != getattr(recipe, name):
            raise UsageError(
                f"{job.out} holds a run with {name.replace('_', ' ')} {getattr(recipe, name)}, not {value}; resume it "
                "without that option or choose another folder with --out."
            )
    return dataclasses.replace(recipe, **given)


def _load(
    job: Job, record: dict[str, Any] | None, validation: float, watch_download: data.Progress | None
) -> tuple[data.Dataset, dict[str, Any]]:
    """The data and where they came from; on resume they must be those the run was started with.

    Where a part of the training set is held out, it takes the test set's place.
    """
    before = record["data"] if record is not None else {}
    spec = job.data or before.get("spec") or DEFAULT_DATA
    data_dir = job.data_dir or (Path(before["data_dir"]) if before.get("data_dir") else None)
    dataset = data.load(spec, data_dir, job.download, watch_download)
    if record is not None and dataset.sha256 != before["sha256"]:
        raise UsageError(
            f"{job.out} holds a run on other data ({before['spec']}) than {spec}; give the same data or choose another "
            "folder with --out."
        )
    where = str(data_dir.absolute()) if data_dir is not None else None
    source = {"spec": spec, "data_dir": where, "sha256": dataset.sha256}
    return (data.held_out(dataset, validation) if validation else dataset), source


def _finished(out: Path, recipe: Recipe) -> dict[str, Any] | None:
    """The report that `out` already holds, if it has all that was asked for."""
    try:
        found = json.loads((out / REPORT).read_bytes())
    except (OSError, ValueError):
        return None
    return found if found["dense"] is not None or recipe.compare == "none" else None


def _finish(job: Job, content: dict[str, Any]) -> dict[str, Any]:
    """Draw and write; `report.json` comes last, since it is what says that the run is finished."""
    if job.pictures:
        curves(content, job.out / "curves.png")
        first_layer(content, job.out / "first-layer.png")
    write_json(job.out / REPORT, content)
    return content
