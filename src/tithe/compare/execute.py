"""Doing the runs of a comparison: each through `tithe train`'s own code, in its own folder, never twice.

A run that was killed goes on from its last epoch, since it is resumed like any other; one that is finished, or whose
loss did not stay finite, is left alone.
"""

from __future__ import annotations

import functools
import json
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tithe.compare import inference, pool
from tithe.errors import Diverged
from tithe.methods import find
from tithe.train.data import Dataset
from tithe.train.defaults import complete
from tithe.train.files import make_folder, write_json
from tithe.train.loop import Tick, Training
from tithe.train.network import sparse_network
from tithe.train.outdir import REPORT
from tithe.train.run import DEFAULT_DATA, Job, run
from tithe.train.watch import Watch
from tithe.tune.search import search

INFERENCE, DIVERGED = "inference.json", "diverged.json"


@dataclass(frozen=True)
class Spec:
    """One run that is to be done."""

    name: str  # for people: rigl 5 %, seed 0
    folder: Path
    data: str
    data_dir: Path | None
    recipe: dict[str, Any]  # fields of the recipe
    rates: dict[str, Any] = field(default_factory=dict)
    ledger: bool = True

    @property
    def finished(self) -> bool:
        """Whether it need not be done any more."""
        return (self.folder / REPORT).exists() or (self.folder / DIVERGED).exists()


def execute(what: str, specs: Sequence[Spec], processes: int, watch: Watch) -> None:
    """Do the runs that are not done yet, one after the other or several at once."""
    todo = [spec for spec in specs if not spec.finished]
    watch.begin(what, [spec.name for spec in specs], len(specs) - len(todo))
    if processes > 1 and len(todo) > 1:
        pool.each(do, todo, min(processes, len(todo)), watch)
        return
    for spec in todo:
        do(spec, watch.training)
        watch.end(spec.name, ending(spec))


def do(spec: Spec, watch: Callable[[str, Tick], None]) -> None:
    """Do one run, or what is left of it."""
    job = Job(
        out=spec.folder,
        data=spec.data,
        data_dir=spec.data_dir,
        resume=True,
        recipe=spec.recipe,
        rates=spec.rates,
        ledger=spec.ledger,
        plan=False,
        pictures=False,
    )

    warm_up()

    def measure_use(training: Training) -> None:
        write_json(spec.folder / INFERENCE, inference.measured(training))

    threads = torch.get_num_threads()  # a run that was begun with others sets them; the next shall not have them
    try:
        train = search if find(spec.recipe["method"]).searches else run
        train(job, lambda tick: watch(spec.name, tick), trained=measure_use)
    except Diverged as error:
        make_folder(spec.folder)
        write_json(spec.folder / DIVERGED, {"says": str(error)})
    finally:
        torch.set_num_threads(threads)


@functools.cache
def warm_up() -> None:
    """What a process does once, such as loading the counter of FLOP, must not be billed to its first run."""
    recipe = complete(
        DEFAULT_DATA, {"model": "mlp:16", "batch_size": 8, "epochs": 1, "scout_steps": 1, "rewire_every": 2}
    )
    x, y = torch.zeros(64, 1, 8, 8, dtype=torch.uint8), torch.arange(64) % 10
    dataset = Dataset("noise", x, y, x[:8], y[:8], 10, None, "")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        network = sparse_network(recipe, dataset)
        training = Training("sparse", network, dataset, recipe, Path(folder), {}, lambda tick: None)
        training.run()
        inference.measured(training)


def ending(spec: Spec) -> str:
    """How a run that is done ended, in a few words."""
    if (spec.folder / DIVERGED).exists():
        return "diverged"
    half = read(spec)["sparse"]
    return f"error {100 * (1 - half['accuracy']):.2f} %, {half['seconds']:.1f} s"


def read(spec: Spec) -> dict[str, Any]:
    """The report of a finished run."""
    return json.loads((spec.folder / REPORT).read_bytes())


def of_folder(folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """The JSON files of these names in a run's folder that are there."""
    return {name: json.loads((folder / name).read_bytes()) for name in names if (folder / name).exists()}
