"""A comparison in tables for the terminal: errors, what training and use took, and the total."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tithe import human
from tithe.compare import words
from tithe.cost.figure import INFINITE, show_in_brief

VERDICTS = {"lowest": "lowest", "not told apart": "noise", "worse": "worse", "untested": "-"}
"""How a tactic's error is to the lowest; "noise": the difference is within it."""
MOST_CROSSINGS = 12
MOST_COLUMNS = 100


def ordered(content: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The tactics, cheapest in total first."""
    return sorted(content["tactics"].items(), key=lambda item: item[1]["total"][content["cost"]]["value"])


def tables(content: Mapping[str, Any]) -> list[Table]:
    """What was reached and what it cost; then who overtakes whom."""
    found = (_errors(content), _costs(content), _overtaking(content))
    return [table for table in found if table is not None]


def wrapped(content: Mapping[str, Any], sentence: str, width: int) -> str:
    """A sentence in lines of at most so many columns."""
    lines = textwrap.fill(kept_together(content, sentence), min(width, MOST_COLUMNS), break_long_words=False)
    return lines.replace(human.NO_BREAK, " ")


def kept_together(content: Mapping[str, Any], sentence: str) -> str:
    """No line ends within a tactic's name, or between a number and what belongs to it."""
    for name in content["tactics"]:
        sentence = sentence.replace(name, name.replace(" ", human.NO_BREAK))
    return human.kept_together(sentence.replace(" ± ", f"{human.NO_BREAK}±{human.NO_BREAK}"))


def title(content: Mapping[str, Any]) -> str:
    """wrn-16-2 on cifar10, 20 epochs each, 3 seeds."""
    seeds = content["seeds"]
    return (
        f"{content['model']} on {content['data']['name']}, {content['budget']['says']}, {seeds} seed{'s'[: seeds > 1]}"
    )


def number(figure: Mapping[str, Any] | None) -> str:
    """Value and unit, in three digits; money too: 167 µUSD."""
    return "-" if figure is None else show_in_brief(float(figure["value"]), figure["unit"])


def brief(figure: Mapping[str, Any]) -> str:
    """A time below a second: 12.3 ms, 4.04 µs."""
    return human.small(figure["value"], figure["unit"])


def training_share(tactic: Mapping[str, Any], cost: str) -> str:
    """How much of the total is training: 49 %."""
    total = tactic["total"][cost]["value"]
    return human.percent(tactic["training"][cost]["value"] / total, 0) if total else "-"


def spread(figure: Mapping[str, Any]) -> str:
    """Half of the interval beside the mean, as a share of it: ± 12 %; nothing where there is none."""
    if figure["high"] is None or not figure["value"]:
        return ""
    return f" ± {human.percent((figure['high'] - figure['value']) / figure['value'], 0)}"


def crossings(content: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """(who, whom, answer) of the pairs that change places at some number of inferences: told by the seeds first."""
    found = [
        (who, whom, answer)
        for who, others in content["overtakes"].items()
        for whom, answer in others.items()
        if answer["inferences"] not in (0, INFINITE)
    ]
    return sorted(found, key=lambda each: (not each[2]["beyond_noise"], each[2]["inferences"]))


def _table(heading: str, caption: str, columns: Sequence[str], words_first: int = 1, apart: int = 2) -> Table:
    """Narrow enough for 80 columns; so many of the first columns hold words, the others numbers."""
    made = Table(title=heading, caption=caption, box=SIMPLE_HEAD, padding=(0, apart - 1, 0, 0), show_edge=False)
    made.title_style, made.caption_style, made.title_justify, made.caption_justify = "bold", "", "left", "left"
    for place, column in enumerate(columns):
        made.add_column(column, justify="left" if place < words_first else "right", no_wrap=True)
    return made


def _errors(content: Mapping[str, Any]) -> Table:
    """What was reached, how long it took."""
    epochs = {tactic["epochs"] for tactic in content["tactics"].values()}
    more = ("epochs",) if len(epochs) > 1 else ()
    columns = ("", "test error, %", "tested", *more, "training\nFLOP", "training\ntime")
    made = _table(title(content), "", columns, apart=1 if more else 2)
    for place, (name, tactic) in enumerate(ordered(content), 1):
        training = tactic["training"]
        cells = [
            words.error(content, name).removesuffix(" %"),
            VERDICTS[tactic["verdict"]],
            *[str(tactic["epochs"]) for _ in more],
        ]
        made.add_row(f"{place} {name}", *cells, number(training["flop"]), number(training["seconds"]))
    first = next(iter(content["tactics"].values()))
    made.add_section()
    hows = [first["training"][unit]["how"] for unit in ("flop", "seconds")]
    made.add_row("known", first["error"]["how"], "", *["counted" for _ in more], *hows)
    return made


def _costs(content: Mapping[str, Any]) -> Table:
    """What else training takes, what a use takes, and both together."""
    cost = content["cost"]
    caption = (
        f"A use is one example in batches of {content['inference_batch']}. Front: no other has both less error and a "
        "lower total."
    )
    heading = f"In total: {words.NOUNS[cost]} of training and {words.inferences(content['inferences'])}"
    columns = (
        "training\nmemory",
        "training\nenergy",
        "a use\nFLOP",
        "a use\ntime",
        "total",
        "training's\nshare",
        "front",
    )
    made = _table(heading, caption, ("", *columns))
    for place, (_, tactic) in enumerate(ordered(content), 1):
        use, training, total = tactic["inference"], tactic["training"], tactic["total"][cost]
        cells = [number(tactic["bytes"]), number(training.get("kwh")), number(use["flop"]), brief(use["seconds"])]
        made.add_row(str(place), *cells, number(total), training_share(tactic, cost), "yes" if tactic["pareto"] else "")
    first = next(iter(content["tactics"].values()))
    figures = (first["bytes"], first["training"]["kwh"], first["inference"]["flop"], first["inference"]["seconds"])
    made.add_section()
    made.add_row("known", *(each["how"] for each in figures), *[first["total"][cost]["how"]] * 2, "")
    return made


def _overtaking(content: Mapping[str, Any]) -> Table | None:
    """Who becomes the cheaper one when the network is used often enough; None where nobody does."""
    found = crossings(content)
    if not found:
        return None
    left = f"; {len(found) - MOST_CROSSINGS} more are in result.json" if len(found) > MOST_CROSSINGS else ""
    caption = (
        f"After so many inferences it takes less {words.NOUNS[content['cost']]}, training included. ?: noise{left}."
    )
    made = _table("Who overtakes whom", caption, ("", "overtakes", "after inferences"), words_first=2)
    for who, whom, answer in found[:MOST_CROSSINGS]:
        made.add_row(who, whom, f"{words.count(answer['inferences'])}{'' if answer['beyond_noise'] else ' ?'}")
    return made
