"""A comparison in tables for the terminal: errors, what training and use took, and the total."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tithe import human
from tithe.compare import words
from tithe.cost.figure import show

VERDICTS = {"lowest": "lowest", "not told apart": "within noise", "worse": "worse", "untested": "not tested"}
_TITLES = {"usd": "cost", "kwh": "energy", "kg_co2": "CO2", "seconds": "time", "flop": "FLOP"}


def ordered(content: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The tactics, cheapest in total first."""
    return sorted(content["tactics"].items(), key=lambda item: item[1]["total"][content["cost"]]["value"])


def tables(content: Mapping[str, Any]) -> list[Table]:
    """What was reached and what it cost; then who overtakes whom."""
    return [_figures(content), _use(content), _overtaking(content)]


def title(content: Mapping[str, Any]) -> str:
    """wrn-16-2 on cifar10, 20 epochs each, 3 seeds."""
    seeds = content["seeds"]
    return (
        f"{content['model']} on {content['data']['name']}, {content['budget']['says']}, {seeds} seed{'s'[: seeds > 1]}"
    )


def number(figure: Mapping[str, Any] | None) -> str:
    """Value and unit; time of one inference in milliseconds."""
    return "-" if figure is None else show(float(figure["value"]), figure["unit"])


def milliseconds(figure: Mapping[str, Any]) -> str:
    """0.0123 ms."""
    return f"{human.three_digits(1000 * figure['value'])} ms"


def spread(figure: Mapping[str, Any]) -> str:
    """Half of the interval beside the mean, as a share of it: ± 12 %; nothing where there is none."""
    if figure["high"] is None or not figure["value"]:
        return ""
    return f" ± {human.percent((figure['high'] - figure['value']) / figure['value'], 0)}"


def _table(heading: str, caption: str) -> Table:
    made = Table(title=heading, caption=caption, box=SIMPLE_HEAD, title_style="bold", caption_style="")
    made.title_justify = made.caption_justify = "left"
    return made


def _figures(content: Mapping[str, Any]) -> Table:
    made = _table(title(content), "")
    made.add_column("training")
    shown = ("test error", "against lowest", "epochs", "FLOP", "time", "energy", "memory", "weights")
    for heading in shown:
        made.add_column(heading, justify="right")
    for name, tactic in ordered(content):
        training = tactic["training"]
        cells = [number(training[unit]) for unit in ("flop",)] + [
            number(training["seconds"]) + spread(training["seconds"]),
            number(training.get("kwh")),
        ]
        more = [number(tactic["bytes"]), human.counted_out(tactic["weights"]["value"])]
        made.add_row(
            name, words.error(content, name), VERDICTS[tactic["verdict"]], str(tactic["epochs"]), *cells, *more
        )
    first = next(iter(content["tactics"].values()))
    hows = ["measured", "test", "counted", first["training"]["flop"]["how"], first["training"]["seconds"]["how"]]
    hows += [first["training"]["kwh"]["how"], first["bytes"]["how"], first["weights"]["how"]]
    made.add_section()
    made.add_row("known", *hows)
    return made


def _use(content: Mapping[str, Any]) -> Table:
    cost = content["cost"]
    batch = content["inference_batch"]
    caption = (
        f"One inference is one example in batches of {batch}. Total {_TITLES[cost]} is that of training and "
        f"{words.inferences(content['inferences'])}; prices are assumed, see result.json."
    )
    made = _table("Use, and the total", caption)
    made.add_column("")
    names = ("FLOP an inference", "time an inference", f"{_TITLES[cost]}, training", f"{_TITLES[cost]}, use", "total")
    for heading in (*names, "Pareto front"):
        made.add_column(heading, justify="right")
    for name, tactic in ordered(content):
        use, n = tactic["inference"], content["inferences"]
        made.add_row(
            name,
            number(use["flop"]),
            milliseconds(use["seconds"]),
            number(tactic["training"][cost]),
            show(n * use[cost]["value"], use[cost]["unit"]),
            number(tactic["total"][cost]),
            "yes" if tactic["pareto"] else "",
        )
    how = next(iter(content["tactics"].values()))
    made.add_section()
    made.add_row("known", "counted", "measured", *[how["training"][cost]["how"]] * 3, "")
    return made


def _overtaking(content: Mapping[str, Any]) -> Table:
    noun = words.NOUNS[content["cost"]]
    caption = (
        f"From how many inferences on the tactic of the row takes less {noun} than that of the column. A question "
        "mark: the seeds do not tell."
    )
    made = _table("Who overtakes whom", caption)
    made.add_column("")
    found = content["overtakes"]
    for name in found:
        made.add_column(f"{name}", justify="right")
    for name, others in found.items():
        made.add_row(name, *["" if other == name else words.overtaking(others[other]) for other in found])
    return made
