"""Does sparse momentum reach the accuracy that was published, and is it as good as the other methods?

Dettmers & Zettlemoyer 2019 (arXiv 1907.04840, section 4): LeNets on MNIST with 1 to 10 % of their weights, sparse from
the first step to the last; in their tables sparse momentum is the most accurate at nearly every density and close to
the dense network from 5 % on. Here each method is trained at each density over several seeds, by the code of
`tithe train`.

Differs from the paper in: 1. Every layer's part of the weights is by ERK, not the same everywhere (`tithe.sparsify`).
2. LeNet-5 trains 12 epochs instead of 100, at half their learning rate. 3. RigL, which is younger, is beside it.
4. Other data and models are as `tithe train` has them, for fewer epochs than published unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tithe.cost.figure import Figure
from tithe.studies import verdict
from tithe.studies.kept import Kept
from tithe.studies.published_accuracy import SOURCE, published
from tithe.studies.sparse_momentum_picture import draw
from tithe.studies.study import Asked, Claim, Column, Study, Table, with_ends
from tithe.studies.trained import Grid, Trained, only, train
from tithe.studies.verdict import ends, mean, says
from tithe.train import data
from tithe.train.data import Dataset
from tithe.train.defaults import complete

SUBJECT, DENSE = "sparse-momentum", "dense"
METHODS = (SUBJECT, "set", "dsr", "rigl", "snip", DENSE)
DENSITIES = (0.01, 0.02, 0.05, 0.1)
MODELS = {"mnist": ("lenet-300-100", "lenet-5")}
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "lenet-300-100": {"epochs": 100},  # theirs
    "lenet-5": {"epochs": 12, "lr": 0.05, "lr_drops": (0.6, 0.9)},
}
SEEDS = 3
QUICK_DATA, QUICK_MODEL, QUICK_SEEDS = "digits", "mlp:300-100", 2
QUICK_DENSITIES, QUICK_METHODS, QUICK_EPOCHS = (0.05, 0.2), (SUBJECT, "set", DENSE), 6
AS_GOOD = 0.2  # points: 20 of 10,000 test examples; the standard error of 98.5 % right among so many is 0.12
POINTS = "+.2f"  # how they are shown
NEAR_DENSE = 0.3  # points: the published distance at 5 % is 0.16
FROM = 0.05  # the density from which it is said to be near the dense network


def study(asked: Asked, kept: Kept) -> Study:
    """Train what is missing and judge it."""
    grids, dataset = _grids(asked)
    datasets = {grids[0].data: dataset}
    found, left_out = train(grids, datasets, asked.out, asked.processes, asked.threads, kept.watch)
    claims = judged(found, dataset.name, len(dataset.y_test))
    pictures = [
        draw(
            _of(found, grid.model), published(dataset.name, grid.model), claims, asked.out / _picture(grid.model, grids)
        )
        for grid in grids
        if _of(found, grid.model)
    ]
    notes = [f"Left out: {name}, since {reason}" for name, reason in left_out.items()]
    notes += [f"{t.diverged} of the runs of {t.tactic.name}, {t.model}, diverged" for t in found if t.diverged]
    setting = {"data": dataset.name, "seeds": grids[0].seeds, "models": {g.model: dict(g.options) for g in grids}}
    return Study(claims, [_table(found, dataset.name), _training(found)], pictures, setting, notes)


def _grids(asked: Asked) -> tuple[list[Grid], Dataset]:
    quick = asked.quick
    name = only(asked.data, "data") or (QUICK_DATA if quick else "mnist")
    dataset = data.load(name, asked.data_dir, asked.download)
    shape = tuple(dataset.x_train.shape[1:])
    default = complete(name, {}).for_input(shape).model
    assert default is not None
    models = asked.model or ((QUICK_MODEL,) if quick else MODELS.get(name, (default,)))
    seeds = asked.seeds or (QUICK_SEEDS if quick else SEEDS)
    methods = asked.methods or (QUICK_METHODS if quick else METHODS)
    densities = asked.density or (QUICK_DENSITIES if quick else DENSITIES)
    grids = []
    for model in models:
        options = dict(RECIPES.get(model, {})) if name == "mnist" else {}
        usual = QUICK_EPOCHS if quick else options.get("epochs", complete(name, {}).epochs)
        epochs = usual if asked.epochs is None else asked.epochs
        grids.append(
            Grid(name, asked.data_dir, model, options | {"epochs": epochs} | asked.recipe, methods, densities, seeds)
        )
    return grids, dataset


def _picture(model: str, grids: Sequence[Grid]) -> str:
    return f"sparse-momentum-{model.replace(':', '-')}.png" if len(grids) > 1 else "sparse-momentum.png"


def _of(found: Sequence[Trained], model: str) -> list[Trained]:
    return [each for each in found if each.model == model]


def judged(found: Sequence[Trained], name: str, examples: int) -> list[Claim]:
    """What the accuracies say about the claims, model by model.

    Args:
        found: the finished runs.
        name: of the data.
        examples: in its test set.
    """
    claims = []
    for model in dict.fromkeys(each.model for each in found):
        runs = _of(found, model)
        where = f"{model} on {name}"
        claims += [_as_published(runs, where, published(name, model)), _as_the_others(runs, where, examples)]
        claims.append(_near_dense(runs, where))
    return [claim for claim in claims if claim is not None]


def _as_published(runs: Sequence[Trained], where: str, table: Mapping[str, Mapping[float, float]]) -> Claim | None:
    known = table.get(SUBJECT, {})
    off = {
        _percent(run.density): mean([a - known[run.density] for a in run.accuracy], "points", "measured - published")
        for run in runs
        if run.tactic.method == SUBJECT and run.density in known
    }
    if not off:
        return None
    return Claim(
        f"{where}: sparse momentum reaches its published accuracy.",
        SOURCE,
        verdict.all_of(verdict.above(figure, -AS_GOOD) for figure in off.values()),
        f"Points above what was published: {_listed(off)}. It holds if none is {AS_GOOD} or more below.",
        off,
    )


def _as_the_others(runs: Sequence[Trained], where: str, examples: int) -> Claim | None:
    margin = max(AS_GOOD, 200 / examples)  # two examples of a small test set
    rivals = [m for m in dict.fromkeys(r.tactic.method for r in runs) if m not in (SUBJECT, DENSE)]
    ahead = {rival: figure for rival in rivals if (figure := lead(runs, SUBJECT, rival)) is not None}
    if not ahead:
        return None
    return Claim(
        f"{where}: sparse momentum is at least as accurate as the other methods.",
        SOURCE,
        verdict.all_of(verdict.above(figure, -margin) for figure in ahead.values()),
        f"Points ahead, mean over the densities: {_listed(ahead)}. It holds if none is {margin:.2g} or more behind.",
        ahead,
    )


def lead(runs: Sequence[Trained], first: str, second: str) -> Figure | None:
    """How many points one method is ahead of another: mean over the densities that both have, paired by seed."""
    of = {m: {r.density: r.by_seed for r in runs if r.tactic.method == m} for m in (first, second)}
    both = [density for density in of[first] if density in of[second]]
    if not both:
        return None
    seeds = sorted(set.intersection(*(set(of[method][d]) for method in (first, second) for d in both)))
    if not seeds:  # every seed diverged somewhere
        return None
    apart = [sum(of[first][d][seed] - of[second][d][seed] for d in both) / len(both) for seed in seeds]
    return mean(apart, "points", f"mean over {', '.join(map(_percent, both))}; {len(seeds)} seeds")


def _near_dense(runs: Sequence[Trained], where: str) -> Claim | None:
    dense = next((run.by_seed for run in runs if run.tactic.method == DENSE), {})
    behind = {
        _percent(run.density): mean(
            [dense[seed] - accuracy for seed, accuracy in run.by_seed.items() if seed in dense],
            *("points", "dense - sparse, paired by seed"),
        )
        for run in runs
        if run.tactic.method == SUBJECT and run.density >= FROM and dense.keys() & run.by_seed.keys()
    }
    if not behind:
        return None
    return Claim(
        f"{where}: from {_percent(FROM)} of the weights on it is as good as the dense network.",
        SOURCE,
        verdict.all_of(verdict.below(figure, NEAR_DENSE) for figure in behind.values()),
        f"Points behind the dense network: {_listed(behind)}. It holds if none is {NEAR_DENSE} or more.",
        behind,
    )


def _percent(density: float) -> str:
    return f"{100 * density:g} %"


def _listed(figures: Mapping[str, Figure]) -> str:
    return ", ".join(f"{says(figure, POINTS)} ({name})" for name, figure in figures.items())


def _table(found: Sequence[Trained], name: str) -> Table:
    meaning = "of the test examples; mean over the seeds, 95 % t interval"
    columns = [
        Column("model"),
        Column("method"),
        Column("density", "1", "counted", "fraction of the weights that exist"),
        *with_ends("error", "%", "measured", meaning),
        Column("published", "%", "measured", f"error in {SOURCE}"),
        Column("seeds", "runs", "counted"),
    ]
    rows = []
    for run in found:
        error = mean([100 - accuracy for accuracy in run.accuracy], "%")
        known = published(name, run.model).get(run.tactic.method, {}).get(run.density)
        row = {"model": run.model, "method": run.tactic.method, "density": run.density, "seeds": len(run.accuracy)}
        row |= ends("error", error)
        rows.append(row | {"published": None if known is None else 100 - known})
    return Table("errors", "Test error by method and density", columns, rows)


def _training(found: Sequence[Trained]) -> Table:
    columns = [
        Column("model"),
        Column("method"),
        Column("density", "1", "counted"),
        Column("epochs", "epochs", "counted"),
        Column("training_flop", "FLOP", "counted", "mean over the seeds"),
        Column("training_seconds", "s", "measured", "mean over the seeds; of a machine that may have had other work"),
        Column("accuracies", "", None, "percent, a seed each"),
    ]
    rows = [
        {
            "model": run.model,
            "method": run.tactic.method,
            "density": run.density,
            "epochs": run.epochs,
            "training_flop": run.flop,
            "training_seconds": run.seconds,
            "accuracies": " ".join(f"{a:.2f}" for a in run.accuracy),
        }
        for run in found
    ]
    return Table("training", "What the training took", columns, rows)
