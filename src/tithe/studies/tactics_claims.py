"""What a comparison says about the claims of `tactics`: pure functions of the result of `tithe compare`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tithe.cost.figure import Figure
from tithe.errors import UsageError
from tithe.methods.registry import DENSE_TO_SPARSE, FROM_SCRATCH, PENALTY
from tithe.studies import verdict
from tithe.studies.study import Claim
from tithe.studies.verdict import mean, says

DENSE, SMALL, SEARCH = "dense", "small-dense", "search"
FINISHED = ("one-shot", "lottery-ticket", "l1")  # start from finished dense networks
CHEAPER = 0.9  # of the dense network's cost
AS_GOOD = 0.3  # points of error above the dense network's
SOURCE = "Thompson, Greenewald, Lee, Manso 2020, arXiv 2007.05558, section 5"
RIGL = "Evci et al. 2020, arXiv 1911.11134, section 4"
POINTS = "+.2f"  # how they are shown
Found = Mapping[str, Any]  # the result of a comparison


def judged(found: Found) -> list[Claim]:
    """The claims on which something was measured."""
    where = f"{found['model']} on {found['data']['name']}"
    method = {name: found["tactics"][name]["method"] for name in after(found)}
    finished = [name for name in method if method[name] in FINISHED]
    searched = [name for name in method if method[name] == SEARCH]
    on_the_way = [name for name in method if name not in (*finished, *searched)]
    claims = [
        _no_cheaper(found, finished, f"{where}: who prunes finished networks trains no cheaper than dense."),
        _no_cheaper(found, searched, f"{where}: who searches among architectures trains no cheaper than dense."),
        _no_cheaper(found, on_the_way, f"{where}: who prunes or penalises on the way trains no cheaper than dense."),
        _cheaper(found, "flop", f"{where}: sparse from scratch trains cheaper, in FLOP, and is as good."),
        _cheaper(found, "seconds", f"{where}: sparse from scratch trains cheaper, in seconds, and is as good."),
        _total(found, f"{where}: sparse from scratch costs least in all, {found['inferences']:g} uses included."),
        _small(found, f"{where}: sparse from scratch is better than a small dense network."),
    ]
    return [claim for claim in claims if claim is not None]


def _no_cheaper(found: Found, names: Sequence[str], claim: str) -> Claim | None:
    if not names:
        return None
    training = {name: ratio(found, name, "training", "flop") for name in names}
    said = ", ".join(f"{says(figure)} {name}, {_goodness(found, name)}" for name, figure in training.items())
    return Claim(
        claim,
        SOURCE,
        verdict.all_of(verdict.above(figure, CHEAPER) for figure in training.values()),
        f"Training FLOP, of dense training: {said}. It holds if none is below {CHEAPER}.",
        training | {f"{name}, error above dense": behind(found, name) for name in names},
    )


def _cheaper(found: Found, cost: str, claim: str) -> Claim | None:
    names = family(found, FROM_SCRATCH)
    if not names:
        return None
    training = {name: ratio(found, name, "training", cost) for name in names}
    each: list[verdict.Verdict] = [
        verdict.all_of([verdict.below(training[name], CHEAPER), as_good(found, name)]) for name in names
    ]
    said = ", ".join(f"{says(figure)} {name}, {_goodness(found, name)}" for name, figure in training.items())
    return Claim(
        claim,
        SOURCE,
        any_of(each),
        f"Training {'FLOP' if cost == 'flop' else 'seconds'}, of dense training: {said}. It holds if one of them is "
        f"below {CHEAPER} and its error surely less than {margin(found):.2g} points worse.",
        training | {f"{name}, error above dense": behind(found, name) for name in names},
    )


def _total(found: Found, claim: str) -> Claim | None:
    """The best from scratch against the best of the others, of those whose error is not surely worse than dense."""
    scratch, others = (
        [name for name in names if as_good(found, name) != verdict.FAILS]
        for names in (family(found, FROM_SCRATCH), [DENSE, *after(found)])
    )
    if not scratch:
        return None
    totals = {name: ratio(found, name, "total", "flop") for name in (*scratch, *others)}
    ours, theirs = (min(names, key=lambda name: totals[name].value) for names in (scratch, others))
    apart = totals[ours].over(totals[theirs], "1", "total FLOP")
    return Claim(
        claim,
        SOURCE,
        verdict.below(apart, 1.0),
        f"Training and use take {says(totals[ours])} of the dense network's FLOP with {ours}, {says(totals[theirs])} "
        f"with {theirs}, the cheapest of the others; of those whose error is not surely worse than the dense one's.",
        {ours: totals[ours], theirs: totals[theirs], "ratio": apart},
    )


def _small(found: Found, claim: str) -> Claim | None:
    small = [name for name, tactic in found["tactics"].items() if tactic["method"] == SMALL]
    scratch = family(found, FROM_SCRATCH)
    if not small or not scratch:
        return None
    best = min(scratch, key=lambda name: found["tactics"][name]["error"]["value"])
    apart = _points(found, small[0], best)
    return Claim(
        claim,
        RIGL,
        verdict.above(apart),
        f"{small[0]} has {says(apart, POINTS)} points more error than {best}, the best from scratch.",
        {"points": apart},
    )


def family(found: Found, *families: str) -> list[str]:
    """The tactics of these families."""
    return [name for name, tactic in found["tactics"].items() if tactic["family"] in families]


def after(found: Found) -> list[str]:
    """Who is said to make a network cheaper to use, and really does."""
    names = [
        n for n, t in found["tactics"].items() if t["family"] in (DENSE_TO_SPARSE, PENALTY) or t["method"] == SEARCH
    ]
    return [name for name in names if ratio(found, name, "inference", "flop").most < CHEAPER]


def ratio(found: Found, name: str, part: str, cost: str) -> Figure:
    """A tactic's cost over the dense network's, paired by seed; `part` is training, inference or total.

    Raises:
        UsageError: there is no seed with which neither diverged.
    """
    training, uses = {"training": (1.0, 0.0), "inference": (0.0, 1.0), "total": (1.0, found["inferences"])}[part]

    def costs(run: Mapping[str, Any]) -> float:
        return training * run["training"][cost] + uses * run["inference"][cost]

    values = [ours / dense for ours, dense in _pairs(found, name, DENSE, costs)]
    return mean(values, "1", f"{part}, of dense; {len(values)} seeds", "counted" if cost == "flop" else "measured")


def behind(found: Found, name: str) -> Figure:
    """Points of error above the dense network's, paired by seed."""
    return _points(found, name, DENSE)


def _points(found: Found, name: str, other: str) -> Figure:
    pairs = _pairs(found, name, other, lambda run: run["error"])
    return mean([100 * (ours - theirs) for ours, theirs in pairs], "points", "paired by seed")


def _pairs(
    found: Found, name: str, other: str, number: Callable[[Mapping[str, Any]], float]
) -> list[tuple[float, float]]:
    """A number of two tactics' runs, seed by seed.

    Raises:
        UsageError: there is no seed with which neither diverged.
    """
    ours, theirs = (
        {run["seed"]: number(run) for run in found["tactics"].get(tactic, {"runs": []})["runs"]}
        for tactic in (name, other)
    )
    seeds = [seed for seed in ours if seed in theirs]
    if not seeds:
        raise UsageError(f"{name} and {other} have no seed in common that did not diverge: try more --seeds.")
    return [(ours[seed], theirs[seed]) for seed in seeds]


def margin(found: Found) -> float:
    """Points of error that are as good: at least two examples of a small test set."""
    return max(AS_GOOD, 200 / found["data"]["n_test"])


def as_good(found: Found, name: str) -> verdict.Verdict:
    """Whether a tactic's error is as good as the dense network's."""
    return verdict.HOLDS if name == DENSE else verdict.below(behind(found, name), margin(found))


def any_of(verdicts: Sequence[verdict.Verdict]) -> verdict.Verdict:
    """Of a claim that one case proves: it fails where all fail."""
    if verdict.HOLDS in verdicts:
        return verdict.HOLDS
    return verdict.FAILS if verdicts and set(verdicts) == {verdict.FAILS} else verdict.OPEN


def _goodness(found: Found, name: str) -> str:
    return f"error {says(behind(found, name), POINTS)} points"
