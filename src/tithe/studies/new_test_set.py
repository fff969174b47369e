"""What a small shift of the test set costs, and whether sparse networks lose more than dense ones.

Networks are trained by `tithe train`'s code, dense, sparse (sparse momentum, 5 %) and small (as many weights, dense),
and tested on the test set and on copies of it: shifted, turned, rescaled, noisy. Sparse and dense of a seed see the
same data and the same copies, so differences are taken seed by seed.

Differs from the papers in: 1. Recht et al. collected new images, copies stand in for them here; --published works their
comparison out again from tables. 2. Hooker et al. prune trained networks, these are sparse from the first step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

import torch

from tithe.cost.figure import Figure
from tithe.errors import UsageError
from tithe.studies import published_drop, verdict
from tithe.studies.copies import COPIES, SMALL, Copy, copied
from tithe.studies.kept import Kept
from tithe.studies.new_test_set_picture import draw
from tithe.studies.study import Asked, Claim, Column, Study, Table, with_ends
from tithe.studies.verdict import ends, mean, says
from tithe.train import data
from tithe.train.files import write_json
from tithe.train.loop import Training
from tithe.train.run import Job, run

DENSE, SPARSE, SMALLER = "dense", "sparse-momentum", "small-dense"
METHODS = (SPARSE, SMALLER, DENSE)
DEFAULT_DATA, DENSITY = "digits", 0.05
SEEDS, QUICK_SEEDS = 5, 2
EPOCHS = {"mnist": 10, "fashion-mnist": 10}  # half of `tithe train`'s, for time
QUICK_RECIPE = {"model": "mlp:32", "epochs": 2, "batch_size": 64}
QUICK_COPIES = (*SMALL[:2], COPIES[-1])
ORIGINAL, SHIFTED = "original", "shifted.json"
BATCH = 512
SOURCES = {
    "cost": "Recht, Roelofs, Schmidt, Shankar 2019, arXiv 1902.10811, abstract (there, new images)",
    "sparse": "Hooker, Courville, Clark, Dauphin, Frome 2019, arXiv 1911.05248, section 4 (there, pruned networks)",
}

Accuracies = Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]  # data -> method -> seed -> copy -> accuracy


def study(asked: Asked, kept: Kept) -> Study:
    """Train, test on every copy, judge; then the published tables where they were given."""
    published = published_drop.read(asked.published) if asked.published else None
    specs = asked.data or (DEFAULT_DATA,)
    for spec in specs:
        _check(spec, asked)
    copies = QUICK_COPIES if asked.quick else COPIES
    measured = _measured(specs, copies, asked, kept)
    claims = [claim for spec in specs for claim in judged(spec, measured[spec], copies)]
    claims += published_drop.claims(published) if published else []
    picture = asked.out / "new-test-set.png"
    draw(measured, copies, claims[2 * len(specs) - 1], published, picture)
    tables = [drops(measured, copies), *([published_drop.table(published)] if published else [])]
    setting = {"methods": METHODS, "density": DENSITY, "copies": [copy.name for copy in copies]}
    notes = () if published else (f"--published FOLDER works ImageNetV2's drop out, from {published_drop.WHERE}.",)
    return Study(claims, tables, [picture], setting, notes)


def _check(spec: str, asked: Asked) -> None:
    shape = tuple(data.load(spec, asked.data_dir, asked.download).x_test.shape[1:])
    if len(shape) != 3:
        raise UsageError(f"{spec} has examples of shape {list(shape)}: this study turns images; give a set of images.")


def _measured(specs: Sequence[str], copies: Sequence[Copy], asked: Asked, kept: Kept) -> Accuracies:
    seeds = range(asked.seeds or (QUICK_SEEDS if asked.quick else SEEDS))
    cells = [(spec, method, seed) for spec in specs for seed in seeds for method in METHODS]
    quick = ", quick" if asked.quick else ""
    names = {(spec, method, seed): f"{method} on {spec}, seed {seed}{quick}" for spec, method, seed in cells}
    todo = {name: partial(_trained, *cell, copies, asked, kept) for cell, name in names.items()}
    found = kept.measure(todo, "networks")
    return {
        spec: {method: [found[names[spec, method, seed]] for seed in seeds] for method in METHODS} for spec in specs
    }


def _trained(spec: str, method: str, seed: int, copies: Sequence[Copy], asked: Asked, kept: Kept) -> dict[str, float]:
    """Train a network, or what is left of it; its accuracy on the test set and on every copy."""
    plain = "".join(letter if letter.isalnum() else "-" for letter in spec)
    folder = asked.out / "runs" / f"{plain}-{method}-seed-{seed}{'-quick' if asked.quick else ''}"
    recipe: dict[str, Any] = {"method": method, "density": DENSITY, "seed": seed, "compare": "none"}
    recipe |= QUICK_RECIPE if asked.quick else {"epochs": EPOCHS.get(spec)}
    job = Job(folder, spec, asked.data_dir, resume=True, recipe=recipe, ledger=False, plan=False, pictures=False)

    def test(training: Training) -> None:
        write_json(folder / SHIFTED, tested(training, copies, seed))

    run(job, lambda tick: kept.watch.training(folder.name, tick), trained=test)
    return json.loads((folder / SHIFTED).read_bytes())


@torch.no_grad()
def tested(training: Training, copies: Sequence[Copy], seed: int) -> dict[str, float]:
    """Accuracy by the name of the copy."""
    model, x, labels = training.network.model.eval(), training.dataset.x_test, training.dataset.y_test

    def accuracy(images: torch.Tensor) -> float:
        right = [
            int((model(training.normalise(part)).argmax(1) == truth).sum())
            for part, truth in zip(images.split(BATCH), labels.split(BATCH), strict=True)
        ]
        return sum(right) / len(labels)

    return {ORIGINAL: accuracy(x)} | {copy.name: accuracy(copied(x, copy, seed)) for copy in copies}


def lost(runs: Sequence[Mapping[str, float]], names: Sequence[str]) -> list[float]:
    """Points that each seed loses on these copies, in the mean."""
    return [round(100 * (run[ORIGINAL] - fmean(run[name] for name in names)), 9) for run in runs]  # no -2e-15


def difference(runs: Mapping[str, Sequence[Mapping[str, float]]], names: Sequence[str], method: str) -> Figure:
    """By how much more a method loses than dense, seed by seed."""
    pairs = zip(lost(runs[method], names), lost(runs[DENSE], names), strict=True)
    return mean([mine - dense for mine, dense in pairs], "percentage points", f"{method} minus dense")


def judged(spec: str, runs: Mapping[str, Sequence[Mapping[str, float]]], copies: Sequence[Copy]) -> list[Claim]:
    """What the accuracies on one data set say."""
    return [_costs(spec, runs, copies), _sparse_loses(spec, runs, copies)]


def _costs(spec: str, runs: Mapping[str, Sequence[Mapping[str, float]]], copies: Sequence[Copy]) -> Claim:
    small = [copy.name for copy in copies if copy in SMALL]
    drop = mean(lost(runs[DENSE], small), "percentage points", "dense networks")
    most = max(copies, key=lambda copy: fmean(lost(runs[DENSE], [copy.name])))
    worst = mean(lost(runs[DENSE], [most.name]), "percentage points", f"dense networks, {most.name}")
    return Claim(
        f"On {spec}: changes that people hardly notice cost accuracy.",
        SOURCES["cost"],
        verdict.above(drop),
        f"Dense networks lose {says(drop)} points in the mean over {', '.join(small)}; {says(worst)} on {most.name}.",
        {"small_copies": drop, "worst_copy": worst},
    )


def _sparse_loses(spec: str, runs: Mapping[str, Sequence[Mapping[str, float]]], copies: Sequence[Copy]) -> Claim:
    names = [copy.name for copy in copies]
    sparse, smaller = (difference(runs, names, method) for method in (SPARSE, SMALLER))
    base = mean([100 * (a[ORIGINAL] - b[ORIGINAL]) for a, b in zip(runs[SPARSE], runs[DENSE], strict=True)], "1")
    return Claim(
        f"On {spec}: sparse networks lose more than dense ones when the test set shifts.",
        SOURCES["sparse"],
        verdict.above(sparse),
        f"Over all copies a network at 5 % density loses {says(sparse)} points more than a dense one (a small one "
        f"{says(smaller)}). On the original test set its accuracy minus the dense one's is {says(base)} points.",
        {"sparse_minus_dense": sparse, "small_dense_minus_dense": smaller},
    )


def drops(measured: Accuracies, copies: Sequence[Copy]) -> Table:
    """Points lost by method and copy, and how much more than dense."""
    columns = [
        Column("data"),
        Column("copy"),
        Column("method"),
        *with_ends("accuracy", "percent", "measured", "mean over seeds"),
        *with_ends("lost", "percentage points", "measured", "original minus copy"),
        *with_ends("more_than_dense", "percentage points", "measured", "seed by seed"),
    ]
    rows = []
    for spec, runs in measured.items():
        for name in (ORIGINAL, *(copy.name for copy in copies)):
            for method, seeds in runs.items():
                row: dict[str, Any] = {"data": spec, "copy": name, "method": method}
                found = {"accuracy": mean([100 * seed[name] for seed in seeds], "percent")}
                if name != ORIGINAL:
                    found["lost"] = mean(lost(seeds, [name]), "percentage points")
                    if method != DENSE:
                        found["more_than_dense"] = difference(runs, [name], method)
                for column, figure in found.items():
                    row |= ends(column, figure)
                rows.append(row)
    return Table("drops", "Accuracy on copies of the test set, 95 % intervals over seeds", columns, rows)
