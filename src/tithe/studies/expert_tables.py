"""The tables of `expert-or-flexible`, and its measurements on real tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from tithe.cost.figure import Figure
from tithe.studies import contenders as who
from tithe.studies import verdict
from tithe.studies.contenders import DENSE, EXPERT, INFORMED, LASSO, SPARSE, fit
from tithe.studies.kept import Kept
from tithe.studies.study import Claim, Column, Table, with_ends
from tithe.studies.tabular import Tabular
from tithe.studies.verdict import ends, mean, says

SHARES, QUICK_SHARES = (0.05, 0.2, 0.8), (0.2, 0.8)  # of a table's rows that are learned from
TESTED_SHARE = 0.2
FEWEST = 25  # examples to learn from
MORE_SPLITS = 2  # a split is noisier than a simulation, so there are so many times the seeds
EVERYBODY = (*who.LINEAR, who.ORACLE_NETWORK, who.EXPERT_NETWORK, DENSE, SPARSE)
REAL_SOURCE = "as above, here on real data (Guyon 2003; Golub et al. 1999)"

Rows = list[dict[str, Any]]


def measured(given: Sequence[Tabular], seeds: int, steps: int, quick: bool, kept: Kept) -> tuple[Rows, list[Claim]]:
    """Every contender on every table and number of examples: rows, and claims where an expert is possible."""
    rows: Rows = []
    claims = []
    for table in given:
        tested = round(TESTED_SHARE * len(table.y))
        sizes = [max(round(share * len(table.y)), FEWEST) for share in (QUICK_SHARES if quick else SHARES)]
        sizes = sorted(set(sizes))
        splits = range(seeds * MORE_SPLITS)
        names = {
            (n, i): f"{table.name} {table.x.shape}, {n} examples, {steps} steps, split {i}"
            for n in sizes
            for i in splits
        }
        found = kept.measure(
            {name: partial(split, table, n, tested, i, steps) for (n, i), name in names.items()}, "splits"
        )
        cells = {n: [found[names[n, i]] for i in splits] for n in sizes}
        for n, cell in cells.items():
            for name in cell[0]:
                error = resampled([one[name]["error"] for one in cell], n, tested, "share of test rows")
                row = {"table": table.name, "examples": n, "contender": name}
                row |= ends("error", error)
                rows.append(row | {"flop": float(np.mean([one[name]["flop"] for one in cell]))})
        if table.right:
            claims.append(_claim(table.name, cells, tested))
    return rows, claims


def split(table: Tabular, n: int, tested: int, seed: int, steps: int) -> dict[str, dict[str, float]]:
    """Learn from n rows, test on others; columns are centred and scaled by the n rows."""
    order = np.random.default_rng([seed, len(table.y)]).permutation(len(table.y))
    learned, new = order[tested : tested + n], order[:tested]
    centre, scale = table.x[learned].mean(0), table.x[learned].std(0)
    scale[scale == 0] = 1
    x, x_new = ((table.x[rows] - centre) / scale for rows in (learned, new))
    offset = table.y[learned].mean()
    right = (
        np.random.default_rng(seed).permutation(np.array(table.right, int)).tolist()
    )  # which the expert lacks: chance
    found = {}
    for name in EVERYBODY:
        if name in INFORMED and not right:
            continue
        fitted = fit(name, x, table.y[learned] - offset, right, seed, steps)
        wrong = np.sign(fitted.predict(x_new) + offset) != table.y[new]
        found[name] = {"error": float(np.mean(wrong)), "flop": float(fitted.flop)}
    return found


def resampled(values: Sequence[float], learned: int, tested: int, source: str) -> Figure:
    """The mean over random splits with its 95 % interval, widened because splits share rows.

    Variance s^2 (1 / J + tested / learned) for J splits: Nadeau & Bengio 2003, Machine Learning 52, section 3.
    """
    found = mean(values, "1", source)
    if not found.has_interval:
        return found
    wider = math.sqrt(1 + len(values) * tested / learned)
    low, high = (found.value + wider * (end - found.value) for end in (found.least, found.most))
    return replace(found, low=low, high=high)


def _claim(name: str, cells: Mapping[int, Sequence[Mapping[str, Any]]], tested: int) -> Claim:
    few, many = min(cells), max(cells)

    def gap(n: int, flexible: str, expert: str) -> Figure:
        differences = [one[flexible]["error"] - one[expert]["error"] for one in cells[n]]
        return resampled(differences, n, tested, f"error, {flexible} minus {expert}, {n} rows")

    early, late = (gap(n, SPARSE, who.EXPERT_NETWORK) for n in (few, many))
    linear = [says(gap(n, LASSO, EXPERT)) for n in (few, many)]
    return Claim(
        f"On {name}: with little data the expert beats the flexible model; with much data the flexible model wins.",
        REAL_SOURCE,
        verdict.all_of((verdict.above(early), verdict.below(late))),
        f"A sparse network's error on all columns minus that of a network on 9 of 10 right columns: {says(early)} at "
        f"{few} examples and {says(late)} at {many}. Lasso's minus that of least squares on them: {linear[0]} and "
        f"{linear[1]}.",
        {f"{few}_examples": early, f"{many}_examples": late},
    )


def crossing(curve: Mapping[int, float], rival: Mapping[int, float]) -> float | None:
    """From how many examples on the curve is below its rival, for good; between measured sizes by their logarithms.

    >>> round(crossing({100: 1.0, 1000: 0.01}, {100: 0.1, 1000: 0.1}))
    316
    """
    sizes = sorted(curve)
    gaps = [math.log(curve[n] / rival[n]) for n in sizes]
    if gaps[-1] >= 0:
        return None
    last = max((place for place, gap in enumerate(gaps) if gap >= 0), default=None)
    if last is None:
        return float(sizes[0])
    share = gaps[last] / (gaps[last] - gaps[last + 1])
    return float(sizes[last] * (sizes[last + 1] / sizes[last]) ** share)


def crossings(simulated: Mapping[int, Any]) -> Table:
    """From how many examples on each flexible contender beats the expert."""
    columns = [
        Column("relevant", "features", "counted", "of 1000 candidates"),
        Column("contender"),
        *with_ends("overtakes_expert_at", "examples", "measured", "interpolated, mean over seeds"),
        *with_ends("final_error", "1", "measured", "share not explained, most examples"),
        Column("final_flop", "FLOP", "modelled", "training at most examples; networks' counted"),
    ]
    rows = []
    for s, cells in simulated.items():
        last = cells[max(cells)]
        for name in last[0]:
            final = mean([seed[name]["error"] for seed in last], "1")
            row: dict[str, Any] = {"relevant": s, "contender": name}
            if name not in INFORMED:
                row |= ends("overtakes_expert_at", _crossed(cells, name))
            row |= ends("final_error", final)
            rows.append(row | {"final_flop": float(np.mean([seed[name]["flop"] for seed in last]))})
    return Table("crossings", "When flexible overtakes expert: examples; never: -", columns, rows)


def _crossed(cells: Mapping[int, Sequence[Mapping[str, Any]]], name: str) -> Figure:
    """Infinite where a seed never crosses."""
    found = []
    for seed in range(len(next(iter(cells.values())))):
        curves = [{n: cell[seed][each]["error"] for n, cell in cells.items()} for each in (name, EXPERT)]
        found.append(crossing(*curves))
    if None in found:
        return Figure(math.inf, "examples", "measured")
    return mean([each for each in found if each is not None], "examples")


def simulation(simulated: Mapping[int, Any]) -> Table:
    """Every error and FLOP of the simulation."""
    columns = [
        Column("relevant", "features", "counted"),
        Column("examples", "examples", "counted"),
        Column("contender"),
        *with_ends("error", "1", "measured", "share not explained"),
        Column("flop", "FLOP", "modelled", "mean over seeds; networks' counted"),
    ]
    rows = []
    for s, cells in simulated.items():
        for n, cell in cells.items():
            for name in cell[0]:
                error = mean([seed[name]["error"] for seed in cell], "1")
                row: dict[str, Any] = {"relevant": s, "examples": n, "contender": name}
                row |= ends("error", error)
                rows.append(row | {"flop": float(np.mean([seed[name]["flop"] for seed in cell]))})
    return Table("simulation", "Error over examples and compute", columns, rows)


def real(rows: Rows) -> Table:
    """Every error on the tables that were given."""
    meaning = "share of test rows misjudged; 95 % interval over random splits (Nadeau & Bengio 2003)"
    columns = [
        Column("table"),
        Column("examples", "examples", "counted"),
        Column("contender"),
        *with_ends("error", "1", "measured", meaning),
        Column("flop", "FLOP", "modelled", "mean over splits; networks' counted"),
    ]
    return Table("real", "The same on real tables", columns, rows)
