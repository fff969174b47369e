"""A comparison's answer in sentences."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tithe import human
from tithe.cost.figure import show

NOUNS = {"usd": "money", "kwh": "energy", "kg_co2": "CO2", "seconds": "time", "flop": "FLOP"}


def says(content: Mapping[str, Any]) -> list[str]:
    """The sentences, most important first."""
    sentences = [_errors(content), _cost(content), *_reigns(content)]
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
        said += f" Within noise of it with {seeds}: {listed(same)}."
    if worse := by_verdict.get("worse"):
        said += f" Worse beyond noise: {listed(worse)}."
    if untested := by_verdict.get("untested"):
        said += f" Not tested, since that takes two seeds or more that differ: {listed(untested)}."
    return said


def error(content: Mapping[str, Any], name: str) -> str:
    """1.11 +- 0.21 %."""
    figure, decimals = content["tactics"][name]["error"], human.accuracy_decimals(content["data"]["n_test"])
    mean = f"{100 * figure['value']:.{max(decimals, 2)}f}"
    if figure["high"] is None:
        return f"{mean} %"
    return f"{mean} ± {100 * (figure['high'] - figure['value']):.{max(decimals, 2)}f} %"


def _cost(content: Mapping[str, Any]) -> str:
    """The cheapest of those that are as good as the best, for N inferences."""
    cost, tactics = content["cost"], content["tactics"]
    good = {name: t for name, t in tactics.items() if t["verdict"] in ("lowest", "not told apart")}
    best = min(good, key=lambda name: good[name]["total"][cost]["value"])
    total = good[best]["total"][cost]
    said = (
        f"Training and {inferences(content['inferences'])} together cost least with {best} "
        f"({show(total['value'], total['unit'])}) among those with that error."
    )
    cheaper = min(tactics, key=lambda name: tactics[name]["total"][cost]["value"])
    if cheaper in good:
        return said
    total = tactics[cheaper]["total"][cost]
    less = show(total["value"], total["unit"])
    return f"{said} {cheaper} costs less ({less}), at an error of {error(content, cheaper)}."


def _reigns(content: Mapping[str, Any]) -> list[str]:
    """Who is the cheapest for how many inferences."""
    reigns: Sequence[Mapping[str, Any]] = content["cheapest"][content["cost"]]
    noun = NOUNS[content["cost"]]
    if len(reigns) == 1:
        return [f"Whatever the number of inferences, {reigns[0]['name']} takes least {noun}, error aside."]
    parts = [f"{reigns[0]['name']} up to {count(reigns[0]['to'])}"]
    for before, reign in itertools.pairwise(reigns):
        sure = content["overtakes"][reign["name"]][before["name"]]["beyond_noise"]
        parts.append(f"{reign['name']} from there on" + ("" if sure else " (a difference within noise)"))
        if reign["to"] != "inf":
            parts[-1] += f" up to {count(reign['to'])}"
    return [f"Least {noun} over the number of inferences, error aside: {', '.join(parts)}."]


def overtaking(answer: Mapping[str, Any]) -> str:
    """After how many inferences one tactic costs less than another; a question mark where that is within noise."""
    after = answer["inferences"]
    said = "never" if after == "inf" else f"after {count(after)}" if after else "from the start"
    return said if answer["beyond_noise"] else f"{said} ?"


def inferences(number: float) -> str:
    """1.00 million inferences."""
    return f"{count(number)} inference{'s' if number != 1 else ''}"


def count(number: float) -> str:
    """A number of inferences in words; below a thousand a whole number."""
    return str(round(number)) if number < 1000 else human.counted_out(number)


def listed(names: Iterable[str]) -> str:
    """a, b and c."""
    words = list(names)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _lower(reason: str) -> str:
    return reason.rstrip(".") + "."
