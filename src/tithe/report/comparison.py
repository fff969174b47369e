"""A comparison in one HTML file that needs nothing else, in the look of `tithe report`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tithe import human
from tithe.compare import words
from tithe.report import compared, details, frontier, inline, page
from tithe.report.drawing import DENSE, PALETTE
from tithe.report.frontier import Drawn
from tithe.train.files import write_atomically

_VERDICTS = {"lowest": "lowest", "not told apart": "within noise", "worse": "worse", "untested": "not tested"}
_LABELS = {"usd": "cost", "kwh": "energy", "kg_co2": "CO2", "seconds": "time", "flop": "FLOP"}


def write(content: Mapping[str, Any], path: Path) -> Path:
    """Write the page about this result of `tithe compare`, whole or not at all.

    Raises UsageError where the file cannot be written.
    """
    write_atomically(path, render(content).encode())
    return path


def render(content: Mapping[str, Any]) -> str:
    """The page; the same result gives the same page."""
    drawn = _drawn(content)
    return page.TEMPLATES.get_template("comparison.html").render(
        title=f"{content['model']} on {content['data']['name']}: which way to train pays?",
        says=[compared.kept_together(content, sentence) for sentence in content["says"]],
        facts=_facts(content),
        rows=[_row(content, each) for each in drawn],
        columns=_columns(content),
        pictures=_pictures(content, drawn),
        overtaking=_overtaking(content, drawn),
        noun=words.NOUNS[content["cost"]],
        left_out=content["left_out"],
        budget=_budget(content),
        assumed=details.assumed(content["rates"]),
        content=content,
        inferences=words.inferences(content["inferences"]),
        label=_LABELS[content["cost"]],
        version=content["tithe"],
    )


def _drawn(content: Mapping[str, Any]) -> list[tuple[str, Drawn]]:
    """Numbered in the order of total cost; dense is grey, as everywhere."""
    found, colours = [], 0
    for number, (name, tactic) in enumerate(compared.ordered(content), 1):
        dense = tactic["method"] == "dense"
        found.append((name, Drawn(number, DENSE if dense else PALETTE[colours % len(PALETTE)], tactic)))
        colours += not dense
    return found


def _facts(content: Mapping[str, Any]) -> str:
    data, machine = content["data"], content["machine"]
    parts = [
        content["budget"]["says"],
        f"{content['seeds']} seed{'s'[: content['seeds'] > 1]} each",
        f"{data['n_train']:,} training and {data['n_test']:,} test examples",
        f"{machine['processor']}, {machine['threads']} thread{'s'[: machine['threads'] > 1]}",
    ]
    return " · ".join(parts)


def _columns(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    first = next(iter(content["tactics"].values()))
    training, use, cost = first["training"], first["inference"], content["cost"]
    known = [
        ("test error", [first["error"]["how"]]),
        ("training FLOP", [training["flop"]["how"]]),
        ("training time", [training["seconds"]["how"]]),
        ("training energy", [training["kwh"]["how"]]),
        ("memory", [first["bytes"]["how"]]),
        ("FLOP an inference", [use["flop"]["how"]]),
        ("time an inference", [use["seconds"]["how"]]),
    ]
    known.insert(1, (f"total {_LABELS[cost]}", [first["total"][cost]["how"]]))
    return [{"label": label, "how": how} for label, how in known]


def _row(content: Mapping[str, Any], named: tuple[str, Drawn]) -> dict[str, Any]:
    name, drawn = named
    tactic, cost = drawn.tactic, content["cost"]
    training, use, total = tactic["training"], tactic["inference"], tactic["total"][cost]
    cells = [
        (words.error(content, name), _VERDICTS[tactic["verdict"]]),
        (compared.number(training["flop"]), ""),
        (compared.number(training["seconds"]), compared.spread(training["seconds"]).strip()),
        (compared.number(training["kwh"]), ""),
        (compared.number(tactic["bytes"]), ""),
        (compared.number(use["flop"]), ""),
        (compared.brief(use["seconds"]), ""),
    ]
    cells.insert(1, (compared.number(total), f"{compared.training_share(tactic, cost)} of it training"))
    return {
        "number": drawn.number,
        "colour": page.variable(drawn.colour),
        "name": name,
        "line": tactic["line"],
        "paper": "" if tactic["paper"].startswith("none") else f" {tactic['paper']}.",
        "family": tactic["family"],
        "epochs": tactic["epochs"],
        "weights": human.counted_out(tactic["weights"]["value"]),
        "density": human.density(tactic["density"]),
        "cells": [{"number": text, "below": below} for text, below in cells],
    }


def _pictures(content: Mapping[str, Any], drawn: list[tuple[str, Drawn]]) -> list[dict[str, Any]]:
    cost, shown = content["cost"], [each for _, each in drawn]
    n, label = words.inferences(content["inferences"]), _LABELS[content["cost"]]
    at = [
        f"{name} {words.error(content, name)} for {compared.number(each.tactic['total'][cost])}" for name, each in drawn
    ]
    return [
        {
            "title": f"Test error over total {label}, training and {n}",
            "below": "Lower and further left is better. Dots are means over the seeds, thin lines their 95 % "
            "intervals; the dashed line joins those that no other beats in both means.",
            "svg": inline.svg(frontier.frontier(shown, cost, f"total {label}"), f"Error over total: {'; '.join(at)}"),
        },
        {
            "title": f"Total {label} over the number of inferences",
            "below": "Each line begins with what training takes and bends up where use takes more than that. The "
            "lowest line is the cheapest; where lines cross, one tactic overtakes another.",
            "svg": inline.svg(
                frontier.lines(shown, cost, content["inferences"], f"total {label}"),
                f"Total {label} over inferences. {content['says'][2]}",
            ),
        },
    ]


def _overtaking(content: Mapping[str, Any], drawn: list[tuple[str, Drawn]]) -> list[dict[str, Any]]:
    """The rows of the table of who overtakes whom; tactics by their place in the table above."""
    place = {name: each.number - 1 for name, each in drawn}
    return [
        {
            "who": place[who],
            "whom": place[whom],
            "after": words.count(answer["inferences"]),
            "sure": answer["beyond_noise"],
        }
        for who, whom, answer in compared.crossings(content)
    ]


def _budget(content: Mapping[str, Any]) -> str:
    """How runs were made equal, and how well that came out."""
    kind = content["budget"]["kind"]
    if kind == "epochs":
        return f"Every run sees the training examples equally often: {content['budget']['says']}."
    return (
        f"Every tactic got so many epochs that its training takes the same {words.NOUNS[kind]}, as far as whole epochs "
        f"allow; trials with the first seed told how many. {words.equal(content)}"
    )
