"""A comparison's answer in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tithe import human
from tithe.compare.stats import differ
from tithe.cost.figure import show, show_in_brief

NOUNS = {"usd": "money", "kwh": "energy", "kg_co2": "CO2", "seconds": "time", "flop": "FLOP"}
UNEQUAL = 0.05
"""Of the budget: a run that is further off is said to be."""


def says(content: Mapping[str, Any]) -> list[str]:
    """The sentences, most important first."""
    sentences = [_errors(content), _cost(content), *_reigns(content), equal(content)]
    sentences += [f"Left out: {name}, since {_lower(reason)}" for name, reason in content["left_out"].items()]
    diverged = {name: tactic["diverged"] for name, tactic in content["tactics"].items() if tactic["diverged"]}
    for name, count in diverged.items():
        sentences.append(f"{count} of the runs of {name} diverged; its figures are those of the others.")
    return [sentence for sentence in sentences if sentence]


def _errors(content: Mapping[str, Any]) -> str:
    """Who has the lowest error, and who is not told apart from it."""
    by_verdict: dict[str, list[str]] = {}
    for name, tactic in content["tactics"].items():
        by_verdict.setdefault(tactic["verdict"], []).append(name)
    (lowest,) = by_verdict["lowest"]
    said = f"Lowest test error: {lowest}, {error(content, lowest)}."
    seeds = f"{content['seeds']} seed{'s'[: content['seeds'] > 1]}"
    if same := by_verdict.get("not told apart"):
        said += f" Within noise of it with {seeds}: {human.listed(same)}."
    if worse := by_verdict.get("worse"):
        said += f" Worse beyond noise: {human.listed(worse)}."
    if untested := by_verdict.get("untested"):
        said += f" Not tested, since that takes two seeds or more that differ: {human.listed(untested)}."
    return said


def error(content: Mapping[str, Any], name: str) -> str:
    """1.11 ± 0.21 %; the mean alone where the seeds say nothing of how far it may be off: one, or all alike."""
    figure, decimals = content["tactics"][name]["error"], human.accuracy_decimals(content["data"]["n_test"])
    mean = f"{100 * figure['value']:.{max(decimals, 2)}f}"
    if figure["high"] in (None, figure["value"]):
        return f"{mean} %"
    return f"{mean} ± {100 * (figure['high'] - figure['value']):.{max(decimals, 2)}f} %"


def _cost(content: Mapping[str, Any]) -> str:
    """The cheapest of those that are as good as the best, for N inferences."""
    cost, tactics, best = content["cost"], content["tactics"], content["best"]["name"]
    said = (
        f"Of those, training and {inferences(content['inferences'])} together take least {NOUNS[cost]} with {best}: "
        f"{_total(content, best)}{'' if tactics[best]['verdict'] == 'lowest' else f', error {error(content, best)}'}."
    )
    if same := content["best"]["as_cheap"]:
        said += f" Within noise of it: {human.listed(same)}."
    cheaper = min(tactics, key=lambda name: tactics[name]["total"][cost]["value"])
    if tactics[cheaper]["verdict"] in ("worse", "untested"):
        said += f" {cheaper} takes less, {_total(content, cheaper)}, at an error of {error(content, cheaper)}."
    return said


def equal(content: Mapping[str, Any]) -> str:
    """How equal the runs came out in what they were to be equal in; nothing for epochs, which they are."""
    budget, kind = content["budget"], content["budget"]["kind"]
    if kind == "epochs":
        return ""
    shares = {
        name: [run["training"][kind] / budget["amount"] for run in tactic["runs"]]
        for name, tactic in content["tactics"].items()
    }
    every = [share for found in shares.values() for share in found]
    amount = show(budget["amount"], "FLOP" if kind == "flop" else "s")
    said = f"Each run took {100 * min(every):.1f} to {100 * max(every):.1f} % of the {amount} that were asked for."
    off = [name for name, found in shares.items() if any(abs(share - 1) > UNEQUAL for share in found)]
    return f"{said} More than {100 * UNEQUAL:.0f} % off: {human.listed(off)}." if off else said


def _total(content: Mapping[str, Any], name: str) -> str:
    total = content["tactics"][name]["total"][content["cost"]]
    return show_in_brief(total["value"], total["unit"])


def _reigns(content: Mapping[str, Any]) -> list[str]:
    """Who is the cheapest for how many inferences."""
    leaders, before = _leaders(content)
    start = f"Error aside, {NOUNS[content['cost']]} is least"
    first = leaders[0][0]
    equals = _equals(content, first)
    alike = [name for name in equals if not _apart(content, name, first, "training")]
    if len(leaders) == 1:
        others = {"few": before, "many": [name for name in equals if name not in alike]}
        but = [f"; for {n}, not told apart from {human.listed(names, 'or')}" for n, names in others.items() if names]
        return [f"{start} with {_either(first, alike)}, whatever the number of inferences{''.join(but)}."]
    parts = [f"with {_either(first, alike)} for few inferences"]
    parts += [f"from {count(after)} on with {_either(name, _equals(content, name))}" for name, after in leaders[1:]]
    return [f"{start} {human.listed(parts)}."]


def _leaders(content: Mapping[str, Any]) -> tuple[list[tuple[str, float]], list[str]]:
    """The cheapest and from how many inferences on; and who would be for few, were training not the same within noise.

    Who follows another is told from it by the cost of a use; and if training costs the same within noise, the other
    was never surely cheaper.
    """
    leaders: list[tuple[str, float]] = []
    never = []
    for reign in content["cheapest"][content["cost"]]:
        name, start = reign["name"], reign["from"]
        if leaders and not _apart(content, name, leaders[-1][0], "inference"):
            continue
        while leaders and not _apart(content, name, leaders[-1][0], "training"):
            other, start = leaders.pop()
            never.append(other)
        leaders.append((name, start))
    return leaders, never


def _apart(content: Mapping[str, Any], first: str, second: str, part: str) -> bool:
    return apart(content["tactics"][first], content["tactics"][second], part, content["cost"])


def apart(first: Mapping[str, Any], second: Mapping[str, Any], part: str, cost: str) -> bool:
    """Whether the seeds tell apart what two tactics' training, or use, costs."""
    return differ(*([run[part][cost] for run in tactic["runs"]] for tactic in (first, second)))


def _equals(content: Mapping[str, Any], name: str) -> list[str]:
    """Who neither overtakes it beyond noise nor is overtaken by it."""
    return [n for n in content["tactics"] if n != name and not (_sure(content, n, name) or _sure(content, name, n))]


def _either(name: str, alike: list[str]) -> str:
    return f"{human.listed([name, *alike], 'or')} (not told apart)" if alike else name


def _sure(content: Mapping[str, Any], challenger: str, other: str) -> bool:
    return content["overtakes"][challenger][other]["beyond_noise"]


def inferences(number: float) -> str:
    """1.00 million inferences."""
    return f"{count(number)} inference{'s' if number != 1 else ''}"


def count(number: float) -> str:
    """A number of inferences, three digits of it, in words: 670,000; 1 million; 2.35 billion; 1e+14."""
    if not 1000 <= number < 1e15:
        return f"{number:.3g}"
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if number >= 0.9995 * size:
            return f"{number / size:.3g} {word}"
    return f"{float(f'{number:.3g}'):,.0f}"


def _lower(reason: str) -> str:
    return reason.rstrip(".") + "."
