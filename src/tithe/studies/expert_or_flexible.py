"""An expert who knows most of what matters, or a flexible model that is given everything: who is better, and when?

Thompson et al. 2020 (arXiv 2007.05558, section 2) simulate it: of 1000 candidate features 10 or 100 matter. The oracle
fits those; the expert nine tenths of them; the flexible model all, by least squares; the regularised flexible model
all, by lasso. Here a dense and a sparse network compete as well.

    y = x w + noise      x ~ N(0, 1), |w| = 1, noise ~ N(0, 1)
    error = mean (f(x) - x w)^2 / mean (x w)^2      the share of what can be explained that is not

Differs from the paper in: 1. its noise is not known to us, ours is as strong as the signal. 2. The two networks are
ours: see `small_networks`; their learning rate and width are not tuned. 3. With --data the same is done on real tables.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tithe.cost.figure import Figure
from tithe.studies import expert_tables as tables
from tithe.studies import small_networks, verdict
from tithe.studies.contenders import DENSE, EXPERT, FLEXIBLE, LASSO, ORACLE, SPARSE, fit
from tithe.studies.expert_picture import draw
from tithe.studies.kept import Kept
from tithe.studies.study import Asked, Claim, Study
from tithe.studies.tabular import read
from tithe.studies.verdict import mean, says


@dataclass(frozen=True)
class Size:
    """How large the simulation is."""

    candidates: int
    relevant: tuple[int, ...]
    examples: tuple[int, ...]
    seeds: int
    steps: int  # of a network, at most


FULL = Size(1000, (10, 100), (50, 100, 200, 500, 1000, 2000, 5000, 10000), 5, small_networks.STEPS)
QUICK = Size(100, (10, 20), (20, 50, 100, 200), 2, 100)
CONTENDERS = (ORACLE, EXPERT, FLEXIBLE, LASSO, DENSE, SPARSE)
TESTED = 5000  # new examples for the networks; linear models are judged exactly, by their weights
LITTLE = 5  # examples a relevant feature: what "little data" is here
STALLED = 1.2  # times better with twice the data: less is standing still (a linear model's full 2 is free to come)
AS_GOOD = 1.05
SOURCE = "Thompson, Greenewald, Lee, Manso 2020, arXiv 2007.05558, section 2, figure 1"

Measured = Mapping[
    int, Mapping[int, Sequence[Mapping[str, Any]]]
]  # relevant -> examples -> seed -> contender -> result


def study(asked: Asked, kept: Kept) -> Study:
    """The simulation, then the tables that were given."""
    given = [read(Path(path)) for path in asked.data]
    size = QUICK if asked.quick else FULL
    size = replace(size, seeds=asked.seeds or size.seeds)
    measured = _simulated(size, kept)
    claims = judged(measured, size.candidates)
    rows, more = tables.measured(given, size.seeds, size.steps, asked.quick, kept)
    picture = asked.out / "expert-or-flexible.png"
    draw(measured, claims[0], picture)
    made = [tables.crossings(measured), tables.simulation(measured), *([tables.real(rows)] if rows else [])]
    notes = () if given else ("no real table was given; --data madelon.npz --data ALLAML.npz adds them.",)
    return Study([*claims, *more], made, [picture], asdict(size), notes)


def _simulated(size: Size, kept: Kept) -> Measured:
    def name(relevant: int, n: int, seed: int) -> str:
        return f"{relevant} of {size.candidates} features, {n} examples, {size.steps} steps, seed {seed}"

    cells = [(s, n, seed) for seed in range(size.seeds) for s in size.relevant for n in size.examples]
    todo = {name(*cell): partial(simulate, size.candidates, *cell, size.steps) for cell in cells}
    found = kept.measure(todo, "simulations")
    seeds = range(size.seeds)
    return {s: {n: [found[name(s, n, seed)] for seed in seeds] for n in size.examples} for s in size.relevant}


def simulate(candidates: int, relevant: int, n: int, seed: int, steps: int) -> dict[str, dict[str, float]]:
    """Every contender on the same examples; error and FLOP of each."""
    dice = np.random.default_rng([seed, relevant, n])
    x = dice.standard_normal((n, candidates))
    w = np.zeros(candidates)
    w[:relevant] = dice.choice([-1.0, 1.0], relevant) / math.sqrt(relevant)
    y = x @ w + dice.standard_normal(n)
    new = dice.standard_normal((TESTED, candidates))
    found = {}
    for name in CONTENDERS:
        fitted = fit(name, x, y, range(relevant), seed, steps)
        if fitted.weights is not None:
            error = np.sum((fitted.weights - w) ** 2)  # the mean of (x v - x w)^2 over all x
        else:
            error = np.mean((fitted.predict(new) - new @ w) ** 2) / np.mean((new @ w) ** 2)
        found[name] = {"error": float(error), "flop": float(fitted.flop)}
    return found


def errors(cell: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """Of one contender, by seed."""
    return [seed[name]["error"] for seed in cell]


def gap(cell: Sequence[Mapping[str, Any]]) -> Figure:
    """Lasso's error minus the expert's, each seed's pair on the same examples: above zero the expert leads."""
    pairs = zip(errors(cell, LASSO), errors(cell, EXPERT), strict=True)
    return mean([lasso - expert for lasso, expert in pairs], "1", "error, lasso minus expert, by seed")


def ratio(above: Sequence[float], below: Sequence[float], source: str) -> Figure:
    """The geometric mean of ratios by seed."""
    found = mean([math.log(a / b) for a, b in zip(above, below, strict=True)], "1")
    return Figure(math.exp(found.value), "1", "measured", _exp(found.low), _exp(found.high), source)


def _exp(end: float | None) -> float | None:
    return None if end is None else math.exp(min(end, 700))  # infinity is no JSON


def judged(measured: Measured, candidates: int) -> list[Claim]:
    """What the simulation says of the claims."""
    return [_overtaken(measured), _stalls(measured), _peak(measured, candidates), _cost(measured), _sparse(measured)]


def _few(relevant: int, sizes: Sequence[int]) -> int:
    """The number of examples that is little for so many relevant features."""
    return min(sizes, key=lambda n: abs(n - LITTLE * relevant))


def _overtaken(measured: Measured) -> Claim:
    figures, parts, words = {}, [], []
    for s, cells in measured.items():
        few, many = _few(s, list(cells)), max(cells)
        early, late = gap(cells[few]), gap(cells[many])
        figures |= {f"{few}_examples_{s}_relevant": early, f"{many}_examples_{s}_relevant": late}
        parts += [verdict.above(early), verdict.below(late)]
        words.append(f"with {s} relevant features {says(early)} at {few} examples and {says(late)} at {many}")
    return Claim(
        "With little data the expert beats the flexible model; with much data the regularised flexible model wins.",
        SOURCE,
        verdict.all_of(parts),
        f"Lasso's error minus the expert's: {'; '.join(words)}.",
        figures,
    )


def _stalls(measured: Measured) -> Claim:
    figures, parts, words = {}, [], []
    for s, cells in measured.items():
        before, last = sorted(cells)[-2:]
        gains = {
            name: ratio(
                errors(cells[before], name), errors(cells[last], name), f"error at {before} over that at {last}"
            )
            for name in (EXPERT, LASSO)
        }
        figures |= {f"{name}_{s}_relevant": gain for name, gain in gains.items()}
        parts += [verdict.below(gains[EXPERT], STALLED), verdict.above(gains[LASSO], STALLED)]
        words.append(
            f"From {before} to {last} examples, {s} relevant: expert {says(gains[EXPERT])} times better, lasso "
            f"{says(gains[LASSO])} times."
        )
    return Claim(
        "The expert stalls at what it does not know, while the flexible model goes on improving.",
        SOURCE,
        verdict.all_of(parts),
        " ".join(words),
        figures,
    )


def _peak(measured: Measured, candidates: int) -> Claim:
    figures, words = {}, []
    for s, cells in measured.items():
        at = min(cells, key=lambda n: abs(n - candidates))
        for n in (max(n for n in cells if n < at), min(n for n in cells if n > at)):
            times = ratio(errors(cells[at], FLEXIBLE), errors(cells[n], FLEXIBLE), f"error at {at} over that at {n}")
            figures[f"peak_over_{n}_examples_{s}_relevant"] = times
            words.append(f"{s} relevant: {says(times)} times the error at {n}.")
    return Claim(
        "Least squares on all candidates is worst where there are as many examples as candidates.",
        "Belkin, Hsu, Ma, Mandal 2019, arXiv 1812.11118, figure 1 (double descent)",
        verdict.all_of(verdict.above(figure, 1) for figure in figures.values()),
        f"At {min(next(iter(measured.values())), key=lambda n: abs(n - candidates))} examples: {' '.join(words)}",
        figures,
    )


def _cost(measured: Measured) -> Claim:
    figures, words = {}, []
    for s, cells in measured.items():
        cell = cells[max(cells)]
        for name in (LASSO, DENSE):
            times = [seed[name]["flop"] / seed[EXPERT]["flop"] for seed in cell]
            how = "modelled" if name == LASSO else "counted"
            figure = mean(times, "1", f"training FLOP, {name} over expert, {max(cells)} examples", how)
            figures[f"{name.replace(' ', '_')}_{s}_relevant"] = figure
            words.append(f"{name} {says(figure)} times with {s} relevant")
    return Claim(
        "Being flexible is paid for in compute.",
        SOURCE,
        verdict.all_of(verdict.above(figure, 10) for figure in figures.values()),
        f"Training FLOP over the expert's at {max(next(iter(measured.values())))} examples: {', '.join(words)}. "
        "More than ten times is what is asked.",
        figures,
    )


def _sparse(measured: Measured) -> Claim:
    figures, parts, words = {}, [], []
    for s, cells in measured.items():
        cell = cells[max(cells)]
        error = ratio(errors(cell, SPARSE), errors(cell, DENSE), "error, sparse over dense network")
        flop = mean([seed[SPARSE]["flop"] / seed[DENSE]["flop"] for seed in cell], "1", "FLOP", "counted")
        figures |= {f"error_{s}_relevant": error, f"flop_{s}_relevant": flop}
        parts += [verdict.below(error, AS_GOOD), verdict.below(flop, 1)]
        words.append(f"With {s} relevant, {says(error)} times the dense network's error for {says(flop)} of its FLOP.")
    return Claim(
        "A network at 5 % density, rewired by sparse momentum, is as flexible as a dense one and takes less compute.",
        "tithe's own",
        verdict.all_of(parts),
        f"At {max(next(iter(measured.values())))} examples. {' '.join(words)}",
        figures,
    )
