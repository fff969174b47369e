"""Does a gradient vanish through depth, what do skip connections do about it, and what does sparsity?

Thirty hidden layers of ReLU, on handwritten digits: with and without skip connections, dense and sparse, the sparse
weights scaled to the inputs that each neuron has left or not. Measured before training: the size of the gradient (root
mean square of d loss / d output) in each hidden layer; its loss over the depth is log10(in the last layer / in the
first), in decades. Then a few epochs of training: which of them learn?

The claims: Glorot & Bengio 2010 (AISTATS, section 4.2: gradients shrink from layer to layer where the weights are too
small), He et al. 2015 (arXiv 1512.03385, section 1: skip connections let very deep networks learn; arXiv 1603.05027,
section 2: the gradient goes through them unchanged) and Evci et al. 2022 (arXiv 2010.03533, section 3: sparse networks
need an initialisation by each neuron's own fan-in).

Differs from the papers in: 1. Fully connected layers without norms, so that nothing else keeps the gradient alive. 2.
The branch beside a skip connection is divided by sqrt(depth). 3. The topology stays while it trains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from tithe.cost.figure import Figure
from tithe.studies import verdict
from tithe.studies.kept import Kept
from tithe.studies.study import Asked, Claim, Column, Study, Table, with_ends
from tithe.studies.vanishing_network import STARTS, Case, measure
from tithe.studies.vanishing_picture import draw
from tithe.studies.verdict import ends, mean, says
from tithe.train import data

CASE = Case("dense", False, depth=30, width=128, density=0.1, epochs=10, lr=0.002, batch_size=32, seed=0)
QUICK = replace(CASE, depth=12, width=64, density=0.2, epochs=5, lr=0.005)
SEEDS, QUICK_SEEDS = 5, 2
DATA = "digits"
VANISHED = 2.0  # decades: a hundred times smaller
ARRIVES = 1.0  # decades, up or down: within ten times
LEARNT = 0.5  # test error below which something was learnt; chance is 0.9
DECADES = ".2f"  # how decades are shown
TINY = 1e-300  # instead of a gradient of exactly zero

PLAIN, SKIPS = "no skips", "skips"
Runs = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]
"""(PLAIN or SKIPS, start) -> seed -> what `measure` found."""


def study(asked: Asked, kept: Kept) -> Study:
    """Measure the eight networks over the seeds."""
    base = QUICK if asked.quick else CASE
    seeds = asked.seeds or (QUICK_SEEDS if asked.quick else SEEDS)
    dataset = data.load(DATA)
    keys = [(way, start) for way in (PLAIN, SKIPS) for start in STARTS]
    cases = {
        key: [replace(base, start=key[1], skips=key[0] == SKIPS, seed=seed) for seed in range(seeds)] for key in keys
    }
    todo = {_name(case): partial(measure, case, dataset) for seed in zip(*cases.values(), strict=True) for case in seed}
    found = kept.measure(todo, "networks")
    runs = {key: [found[_name(case)] for case in cases[key]] for key in keys}
    claims = judged(runs)
    picture = draw(runs, claims, asked.out / "vanishing.png")
    setting = {"data": DATA, "seeds": seeds} | {
        name: value for name, value in asdict(base).items() if name not in ("start", "skips", "seed")
    }
    return Study(claims, [_networks(runs), _layers(runs)], [picture], setting, [_warned(runs)])


def _name(case: Case) -> str:
    return ", ".join(f"{name}={value}" for name, value in asdict(case).items())


def decades(run: Mapping[str, Any]) -> float:
    """log10 of how many times smaller the gradient is in the first hidden layer than in the last."""
    gradients = run["gradients"]
    return math.log10(max(gradients[-1], TINY) / max(gradients[0], TINY))


def lost(runs: Sequence[Mapping[str, Any]]) -> Figure:
    """Decades lost over the depth, mean over seeds."""
    return mean([decades(run) for run in runs], "decades", f"mean of {len(runs)} seeds, 95 % t interval")


def judged(runs: Runs) -> list[Claim]:
    """What the gradients and errors say about the claims."""
    return [_vanishes(runs), _per_neuron(runs), _skips(runs), _learns(runs)]


def _vanishes(runs: Runs) -> Claim:
    dense, small, sparse = (lost(runs[PLAIN, start]) for start in ("dense", STARTS[1], "sparse, as dense"))
    parts: list[verdict.Verdict] = [
        verdict.above(small, VANISHED),
        verdict.above(sparse, VANISHED),
        verdict.below(dense, VANISHED),
    ]
    return Claim(
        "Without skip connections gradients vanish through depth where the weights are small.",
        "Glorot & Bengio 2010, section 4.2; Evci et al. 2022, arXiv 2010.03533, section 3",
        verdict.all_of(parts),
        f"Over the depth the gradient loses {says(sparse, DECADES)} decades sparse and not rescaled, "
        f"{says(small, DECADES)} dense as torch draws it, {says(dense, DECADES)} dense by He's rule.",
        {"sparse_as_dense": sparse, "dense_torch": small, "dense": dense},
    )


def _per_neuron(runs: Runs) -> Claim:
    sparse, dense = runs[PLAIN, "sparse, per neuron"], runs[PLAIN, "dense"]
    apart = mean([decades(a) - decades(b) for a, b in zip(sparse, dense, strict=True)], "decades", "paired by seed")
    return Claim(
        "Scaled to the inputs that each neuron has left, sparse weights let as much of the gradient through as dense.",
        "Evci et al. 2022, arXiv 2010.03533, section 3",
        verdict.between(apart, -ARRIVES, ARRIVES),
        f"Without skip connections it loses {says(apart, DECADES)} decades more than the dense one's, over all layers.",
        {"more_than_dense": apart},
    )


def _skips(runs: Runs) -> Claim:
    found = {start: lost(runs[SKIPS, start]) for start in STARTS}
    return Claim(
        "With skip connections the gradient arrives, dense or sparse, however the weights are drawn.",
        "He et al. 2015, arXiv 1512.03385, section 1; 2016, arXiv 1603.05027, section 2",
        verdict.all_of(verdict.between(figure, -ARRIVES, ARRIVES) for figure in found.values()),
        f"Decades lost: {', '.join(f'{says(figure, DECADES)} {start}' for start, figure in found.items())}; "
        "below zero it grows.",
        found,
    )


def _learns(runs: Runs) -> Claim:
    errors = {key: mean([run["error"] for run in found], "1", "test examples") for key, found in runs.items()}
    gone = [key for key in runs if lost(runs[key]).value > VANISHED]
    parts: list[verdict.Verdict] = [
        (verdict.above if key in gone else verdict.below)(error, LEARNT) for key, error in errors.items()
    ]
    learnt = [100 * errors[key].value for key in runs if key not in gone]
    lost_ones = [100 * errors[key].value for key in gone]
    return Claim(
        "Networks whose gradient vanishes do not learn, the others do.",
        "He et al. 2015, arXiv 1512.03385, section 1",
        verdict.all_of(parts) if gone and learnt else verdict.OPEN,
        f"Test error after the same training: {_range(lost_ones)} where it vanishes, {_range(learnt)} elsewhere.",
        {f"{start}, {way}": error for (way, start), error in errors.items()},
    )


def _range(errors: Sequence[float]) -> str:
    return f"{min(errors):.1f} to {max(errors):.1f} %" if errors else "no network"


def _warned(runs: Runs) -> str:
    said = [f"{start}, {way}" for (way, start), found in runs.items() if any(run["starves"] for run in found)]
    return f"The warning of tithe train that a layer starves came for: {', '.join(said) or 'none of them'}."


def _networks(runs: Runs) -> Table:
    columns = [Column("network"), Column("weights")]
    lost_there = "log10 of gradient in the last hidden layer / in the first; 95 % t interval"
    columns += with_ends("decades_lost", "decades", "measured", lost_there)
    columns += with_ends("error", "1", "measured", "test examples, after training; 95 % t interval")
    columns.append(Column("warned", "runs", "counted", "of how many tithe train would have said that a layer starves"))
    rows = []
    for (way, start), found in runs.items():
        row: dict[str, Any] = {"network": way, "weights": start}
        for name, figure in (("decades_lost", lost(found)), ("error", mean([run["error"] for run in found], "1"))):
            row |= ends(name, figure)
        rows.append(row | {"warned": sum(run["starves"] for run in found)})
    return Table("networks", "What arrives of the gradient, and what is learnt", columns, rows)


def _layers(runs: Runs) -> Table:
    columns = [Column("network"), Column("weights"), Column("layer", "layers", "counted", "1 is next to the input")]
    columns.append(Column("gradient", "1", "measured", "of that in the last; geometric mean over seeds"))
    rows = [
        {"network": way, "weights": start, "layer": number, "gradient": share}
        for (way, start), found in runs.items()
        for number, share in enumerate(shares(found), start=1)
    ]
    return Table("layers", "The gradient in each hidden layer", columns, rows)


def shares(runs: Sequence[Mapping[str, Any]]) -> list[float]:
    """The gradient in each hidden layer as a share of that in the last, geometric mean over seeds."""
    logs = [[math.log(max(size, TINY) / max(run["gradients"][-1], TINY)) for size in run["gradients"]] for run in runs]
    return [math.exp(sum(layer) / len(layer)) for layer in zip(*logs, strict=True)]
