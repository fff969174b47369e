"""What came out: figures of each tactic over its seeds, total costs, who overtakes whom, and what is only noise."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tithe
from tithe.compare import lines, words
from tithe.compare.cells import Cell, Comparison
from tithe.compare.execute import DIVERGED, INFERENCE, Spec, of_folder
from tithe.compare.lines import Line
from tithe.compare.stats import against_lowest, differ, interval
from tithe.cost.figure import INFINITE, Figure, How
from tithe.errors import UsageError
from tithe.methods import find
from tithe.train.outdir import REPORT

RESULT = "result.json"
FORMAT = 1
COSTS = {"usd": "USD", "kwh": "kWh", "kg_co2": "kg", "seconds": "s", "flop": "FLOP"}
"""What total cost can be counted in, with its unit."""


@dataclass(frozen=True)
class Run:
    """The figures of one finished run."""

    seed: int
    error: float  # fraction of the test examples
    training: dict[str, float]  # cost by the names of COSTS
    inference: dict[str, float]  # of one example
    bytes: int  # peak of live tensors
    nnz: int
    density: float
    how: dict[str, How]  # by the names of COSTS
    sources: dict[str, str]


def result(comparison: Comparison, cells: Sequence[Cell], left_out: Mapping[str, str]) -> dict[str, Any]:
    """All of it, as JSON holds it. Infinity is the string "inf".

    Raises:
        UsageError: no run reached an error.
    """
    plan, dataset, budget = comparison.plan, comparison.dataset, comparison.budget
    inferences, cost = comparison.asked.inferences, comparison.asked.cost
    found = {cell.tactic.name: _runs(cell) for cell in cells}
    diverged = {cell.tactic.name: sum((s.folder / DIVERGED).exists() for s in cell.specs) for cell in cells}
    reached = [cell for cell in cells if found[cell.tactic.name]]
    if not reached:
        raise UsageError("the loss of every run became infinite or no number: try a lower --lr in another --out.")
    judged = against_lowest({c.tactic.name: [run.error for run in found[c.tactic.name]] for c in reached})
    tactics = {cell.tactic.name: _tactic(cell, found[cell.tactic.name], inferences) for cell in reached}
    totals = {name: tactic["total"][cost]["value"] for name, tactic in tactics.items()}
    front = lines.pareto({name: (totals[name], tactic["error"]["value"]) for name, tactic in tactics.items()})
    by_cost = {unit: _lines(tactics, unit) for unit in COSTS}
    for name, tactic in tactics.items():
        tactic |= {"verdict": judged[name].verdict, "p": judged[name].p, "pareto": name in front}
        tactic["diverged"] = diverged[name]
    first = of_folder(_done(reached[0]).folder, (REPORT, INFERENCE))
    gone = {name: "every run diverged: try a lower --lr in another --out" for name in diverged if name not in tactics}
    content: dict[str, Any] = {
        "format": FORMAT,
        "tithe": tithe.__version__,
        "data": {"name": dataset.name, "n_train": len(dataset.y_train), "n_test": len(dataset.y_test)},
        "model": first[REPORT]["model"],
        "machine": first[REPORT]["machine"],
        "budget": {"kind": budget.kind, "amount": budget.amount, "says": plan.budget.says()},
        "seeds": plan.seeds,
        "inferences": inferences,
        "cost": cost,
        "processes": comparison.asked.processes,
        "inference_batch": first[INFERENCE]["batch"],
        "rates": first[REPORT]["sparse"]["bill"]["rates"],
        "tactics": tactics,
        "left_out": dict(left_out) | gone,
        "cheapest": {unit: _cheapest(found_lines) for unit, found_lines in by_cost.items()},
        "overtakes": _overtakes(tactics, cost),
        "best": _best(tactics, cost, inferences),
    }
    return content | {"says": words.says(content)}


def _done(cell: Cell) -> Spec:
    return next(spec for spec in cell.specs if (spec.folder / REPORT).exists())


def _runs(cell: Cell) -> list[Run]:
    return [_run(spec) for spec in cell.specs if (spec.folder / REPORT).exists()]


def _run(spec: Spec) -> Run:
    """Costs are those of training alone: time and energy of evaluation and checkpoints are left out by their share."""
    files = of_folder(spec.folder, (REPORT, INFERENCE))
    half, use = files[REPORT]["sparse"], files[INFERENCE]
    bill = {name: Figure.from_json(half["bill"][name]) for name in COSTS if half["bill"].get(name)}
    whole = bill["seconds"].value
    training = {name: bill[name].value * half["seconds"] / whole for name in bill}
    training |= {"seconds": half["seconds"], "flop": float(half["training_flop"])}
    inference = {name: bill[name].value * use["seconds"] / whole for name in bill}
    inference |= {"seconds": use["seconds"], "flop": float(use["flop"])}
    return Run(
        seed=files[REPORT]["recipe"]["seed"],
        error=1 - half["accuracy"],
        training=training,
        inference=inference,
        bytes=half["peak_bytes"],
        nnz=half["nnz"],
        density=half["density"],
        how={name: figure.how for name, figure in bill.items()},
        sources={name: figure.source for name, figure in bill.items()},
    )


def _tactic(cell: Cell, runs: Sequence[Run], inferences: float) -> dict[str, Any]:
    """The figures of one tactic: means over its seeds, with their t intervals."""
    first, entry = runs[0], find(cell.tactic.method)
    units = [name for name in COSTS if name in first.training]

    def figures(of: Callable[[Run, str], float], after: str) -> dict[str, Any]:
        return {n: _mean([of(r, n) for r in runs], COSTS[n], first.how[n], first.sources[n] + after) for n in units}

    return {
        "method": cell.tactic.method,
        "asked_density": cell.tactic.density,
        "paper": entry.paper,
        "line": entry.line,
        "family": entry.family,
        "epochs": cell.epochs,
        "runs": [
            {"seed": run.seed, "error": run.error, "training": run.training, "inference": run.inference} for run in runs
        ],
        "error": _mean([run.error for run in runs], "1", "measured", "test examples, after the last epoch"),
        "training": figures(lambda run, name: run.training[name], "; training alone, without evaluation"),
        "inference": figures(lambda run, name: run.inference[name], "; one example, on the trained network"),
        "total": figures(
            lambda run, name: run.training[name] + inferences * run.inference[name],
            f"; training + {inferences:g} inferences",
        ),
        "bytes": _mean([float(run.bytes) for run in runs], "B", "measured", "most live tensors while training"),
        "weights": _mean([float(run.nnz) for run in runs], "weights", "counted", "that exist at the end"),
        "density": statistics.fmean(run.density for run in runs),
    }


def _mean(values: Sequence[float], unit: str, how: How, source: str) -> dict[str, Any]:
    """The mean with its interval over the seeds."""
    mean, between = statistics.fmean(values), interval(values)
    if between is None:
        return Figure(mean, unit, how, source=source).json()
    low, high = between
    said = f"{source}; mean of {len(values)} seeds, 95 % t interval"
    return Figure(mean, unit, how, min(low, mean), max(high, mean), said).json()


def _lines(tactics: Mapping[str, Any], unit: str) -> dict[str, Line]:
    known = {name: t for name, t in tactics.items() if unit in t["training"]}
    return {name: Line(t["training"][unit]["value"], t["inference"][unit]["value"]) for name, t in known.items()}


def _cheapest(found: Mapping[str, Line]) -> list[dict[str, Any]]:
    return [{"name": r.name, "from": r.start, "to": _plain(r.end)} for r in lines.cheapest(found)] if found else []


def _overtakes(tactics: Mapping[str, Any], cost: str) -> dict[str, dict[str, Any]]:
    """{challenger: {other: {"inferences", "beyond_noise"}}}: from how many on it costs less, "inf" for never."""
    found = _lines(tactics, cost)
    pairs = {name: {other: lines.overtakes(line, found[other]) for other in found} for name, line in found.items()}
    return {
        name: {
            other: {"inferences": _plain(n), "beyond_noise": _sure(n, tactics[name], tactics[other], cost)}
            for other, n in others.items()
            if other != name
        }
        for name, others in pairs.items()
    }


def _sure(n: float, challenger: Mapping[str, Any], other: Mapping[str, Any], cost: str) -> bool:
    """Whether the seeds tell apart what the answer rests on: the cost of training, of use, or both."""
    training, use = (words.apart(challenger, other, part, cost) for part in ("training", "inference"))
    same_use = challenger["inference"][cost]["value"] == other["inference"][cost]["value"]
    if n == 0 or (math.isinf(n) and same_use):
        return training
    return use if math.isinf(n) else training and use


def _best(tactics: Mapping[str, Any], cost: str, inferences: float) -> dict[str, Any]:
    """The cheapest in total of those whose error is not told apart from the lowest, and which of them are as cheap."""

    def totals(name: str) -> list[float]:
        return [run["training"][cost] + inferences * run["inference"][cost] for run in tactics[name]["runs"]]

    good = [name for name, tactic in tactics.items() if tactic["verdict"] in ("lowest", "not told apart")]
    name = min(good, key=lambda name: tactics[name]["total"][cost]["value"])
    return {"name": name, "as_cheap": [n for n in good if n != name and not differ(totals(n), totals(name))]}


def _plain(number: float) -> float | str:
    return INFINITE if math.isinf(number) else number
