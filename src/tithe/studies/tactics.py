"""Which tactics make a network cheaper to use, and which of them cheaper to train?

Thompson et al. 2020 (arXiv 2007.05558, section 5) and others say: pruning what was trained, penalising complexity and
searching for architectures give networks that are cheaper to use, but none makes them cheaper to train; training sparse
from the first step does. Here each tactic trains the same network on the same data, and is billed for all it does.

Each is trained as its authors do. Who prunes a finished network (one-shot, lottery-ticket, l1) trains it dense as long
as the dense network trains and goes on as long again; who prunes on the way (gradual-magnitude, group-lasso) and who is
sparse or small from the start trains as long as the dense one. Costs are counted in FLOP, the same on every machine,
and measured in seconds.

A tactic is cheaper where it takes less than nine tenths of what dense training takes. Its error is as good as dense
where the difference, over the seeds, is surely below the margin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tithe.compare import asked as compare
from tithe.compare.budget import Budget
from tithe.compare.cells import Cell, Comparison
from tithe.compare.plan import Plan
from tithe.compare.result import result
from tithe.errors import UsageError
from tithe.studies import trained
from tithe.studies.kept import Kept
from tithe.studies.study import Asked, Column, Study, Table, with_ends
from tithe.studies.tactics_claims import DENSE, SEARCH, judged, ratio
from tithe.studies.tactics_picture import draw
from tithe.studies.trained import Grid, only
from tithe.studies.verdict import ends, mean
from tithe.train import data
from tithe.train.data import Dataset
from tithe.train.defaults import complete

WANTED = (
    *(DENSE, "one-shot", "lottery-ticket", "gradual-magnitude", "l1", "group-lasso", SEARCH, "small-dense"),
    *("rigl", "sparse-momentum"),
)
TWICE = ("one-shot", "lottery-ticket", "l1")  # trained to the end, pruned, and trained again as long
DATA, DENSITY, SEEDS = "mnist", 0.05, 3
QUICK_DATA, QUICK_DENSITY, QUICK_SEEDS, QUICK_EPOCHS, QUICK_MODEL = "digits", 0.2, 2, 4, "mlp:300-100"
INFERENCES = 1e6


def study(asked: Asked, kept: Kept) -> Study:
    """Train what is missing on each data set, and judge it."""
    names = asked.data or (QUICK_DATA if asked.quick else DATA,)
    datasets = {name: data.load(name, asked.data_dir, asked.download) for name in names}
    claims, tables, pictures, notes, settings = [], [], [], [], {}
    for name, dataset in datasets.items():
        found = compared(asked, name, dataset, kept)
        said = judged(found)
        claims += said
        picture = asked.out / ("tactics.png" if len(names) == 1 else f"tactics-{dataset.name}.png")
        pictures.append(draw(found, said, picture))
        tables += [_table(found), _bill(found)]
        notes += [f"Left out, {dataset.name}: {tactic}, since {why}" for tactic, why in found["left_out"].items()]
        settings[name] = {key: found[key] for key in ("model", "seeds", "inferences")}
    return Study(claims, tables, pictures, settings, notes)


def compared(asked: Asked, name: str, dataset: Dataset, kept: Kept) -> dict[str, Any]:
    """What `tithe compare` says of the tactics on one data set."""
    grids = _grids(asked, name, dataset)
    datasets, processes = {name: dataset}, 1 if asked.processes is None else asked.processes
    todo, left_out = trained.cells(grids, datasets, asked.out, processes, asked.threads)
    trained.run(todo, datasets, processes, kept.watch)
    found: list[Cell] = [cell for _, cell in todo]
    grid = grids[0]
    plan = Plan(
        data=name,
        data_dir=None,
        sha256=dataset.sha256,
        options=dict(grid.options),
        tactics=tuple(cell.tactic for cell in found),
        left_out=left_out,
        seeds=grid.seeds,
        budget=Budget("epochs", grid.epochs),
    )
    inferences = INFERENCES if asked.inferences is None else asked.inferences
    how = compare.Asked(asked.out, inferences=inferences, cost="flop", processes=processes)
    return result(Comparison(how, plan, dataset), found, left_out)


def _grids(asked: Asked, name: str, dataset: Dataset) -> list[Grid]:
    """One of the tactics that train once, one of those that train twice."""
    if asked.inferences is not None and not 0 <= asked.inferences < math.inf:
        raise UsageError(f"--inferences {asked.inferences:g} is not possible: give a finite number, 0 or more.")
    quick = asked.quick
    default = complete(name, {}).for_input(tuple(dataset.x_train.shape[1:]))
    model = only(asked.model, "model") or (QUICK_MODEL if quick else default.model)
    assert model is not None
    usual = QUICK_EPOCHS if quick else default.epochs
    epochs = usual if asked.epochs is None else asked.epochs
    methods = asked.methods or WANTED
    methods = methods if DENSE in methods else (DENSE, *methods)
    densities = asked.density or (QUICK_DENSITY if quick else DENSITY,)
    seeds = asked.seeds or (QUICK_SEEDS if quick else SEEDS)
    grids = []
    for times in (1, 2):
        chosen = tuple(method for method in methods if (method in TWICE) == (times == 2))
        if chosen:
            grids.append(
                Grid(name, asked.data_dir, model, {"epochs": times * epochs} | asked.recipe, chosen, densities, seeds)
            )
    return grids


def _table(found: Mapping[str, Any]) -> Table:
    columns = [Column("tactic"), Column("epochs", "epochs", "counted")]
    mean_of = "mean, 95 % t interval"
    columns += with_ends("error", "%", "measured", f"test examples; {mean_of}")
    columns += with_ends("training", "1", "counted", f"FLOP of training, of dense training; {mean_of}")
    columns.append(Column("use", "1", "counted", "FLOP of one use, of the dense network"))
    columns += with_ends("seconds", "1", "measured", f"seconds of training, of dense training; {mean_of}")
    rows = []
    for name, tactic in found["tactics"].items():
        row: dict[str, Any] = {"tactic": name, "epochs": tactic["epochs"]}
        error = mean([100 * run["error"] for run in tactic["runs"]], "%")
        figures = {"error": error, "training": ratio(found, name, "training", "flop")}
        figures["seconds"] = ratio(found, name, "training", "seconds")
        for column, figure in figures.items():
            row |= ends(column, figure)
        rows.append(row | {"use": ratio(found, name, "inference", "flop").value})
    return Table(f"tactics-{found['data']['name']}", f"Tactics, {found['model']}: cost over dense", columns, rows)


def _bill(found: Mapping[str, Any]) -> Table:
    units = {"flop": "FLOP", "seconds": "s", "kwh": "kWh", "usd": "USD"}
    columns = [Column("tactic"), Column("family")]
    for part in ("training", "inference", "total"):
        columns += [Column(f"{part}_{cost}", unit, _how(found, part, cost)) for cost, unit in units.items()]
    columns.append(Column("bytes", "B", "measured", "most live tensors while training"))
    rows = []
    for name, tactic in found["tactics"].items():
        row = {"tactic": name, "family": tactic["family"], "bytes": tactic["bytes"]["value"]}
        for part in ("training", "inference", "total"):
            row |= {f"{part}_{cost}": figure["value"] for cost, figure in tactic[part].items() if cost in units}
        rows.append(row)
    title = f"What it took; total with {found['inferences']:g} uses"
    return Table(f"bill-{found['data']['name']}", title, columns, rows)


def _how(found: Mapping[str, Any], part: str, cost: str) -> Any:
    first = next(iter(found["tactics"].values()))
    return first[part][cost]["how"] if cost in first[part] else None
