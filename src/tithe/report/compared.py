"""A comparison in tables for the terminal: errors, what training and use took, and the total."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tithe import human
from tithe.compare import words
from tithe.cost.figure import show

VERDICTS = {"lowest": "lowest", "not told apart": "noise", "worse": "worse", "untested": "-"}
"""How a tactic's error is to the lowest; "noise": the difference is within it."""


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
    """Value and unit, in three digits; money too: 167 µUSD."""
    return "-" if figure is None else amount(float(figure["value"]), figure["unit"])


def amount(value: float, unit: str) -> str:
    """The same of a plain number."""
    return human.small(value, unit) if unit == "USD" and abs(value) < 0.01 else show(value, unit)


def brief(figure: Mapping[str, Any]) -> str:
    """A time below a second: 12.3 ms, 4.04 µs."""
    return human.small(figure["value"], figure["unit"])


def spread(figure: Mapping[str, Any]) -> str:
    """Half of the interval beside the mean, as a share of it: ± 12 %; nothing where there is none."""
    if figure["high"] is None or not figure["value"]:
        return ""
    return f" ± {human.percent((figure['high'] - figure['value']) / figure['value'], 0)}"


def _table(heading: str, caption: str, columns: Sequence[str]) -> Table:
    made = Table(title=heading, caption=caption, box=SIMPLE_HEAD, title_style="bold", caption_style="", padding=(0, 1))
    made.title_justify = made.caption_justify = "left"
    made.add_column("", no_wrap=True)
    for heading in columns:
        made.add_column(heading, justify="right")
    return made


def _figures(content: Mapping[str, Any]) -> Table:
    epochs = {tactic["epochs"] for tactic in content["tactics"].values()}
    more = ("epochs",) if len(epochs) > 1 else ()
    made = _table(title(content), "", ("test error", "tested", *more, "FLOP", "time", "energy", "memory"))
    for number_, (name, tactic) in enumerate(ordered(content), 1):
        training = tactic["training"]
        cells = [words.error(content, name), VERDICTS[tactic["verdict"]], *[str(tactic["epochs"]) for _ in more]]
        cells += [number(training.get(unit)) for unit in ("flop", "seconds", "kwh")]
        made.add_row(f"{number_} {name}", *cells, number(tactic["bytes"]))
    first = next(iter(content["tactics"].values()))
    hows = [first["training"][unit]["how"] for unit in ("flop", "seconds", "kwh")]
    made.add_section()
    made.add_row("known", "measured", "", *["counted" for _ in more], *hows, first["bytes"]["how"])
    return made


def _use(content: Mapping[str, Any]) -> Table:
    cost, n = content["cost"], content["inferences"]
    caption = (
        f"One inference is one example in batches of {content['inference_batch']}. Prices are assumed: see "
        "result.json. Front: no other is better in both error and total."
    )
    heading = f"One inference, and the {words.NOUNS[cost]} of training and {words.inferences(n)}"
    made = _table(heading, caption, ("FLOP", "time", "training", "use", "total", "front"))
    for number_, (_, tactic) in enumerate(ordered(content), 1):
        use, training = tactic["inference"], tactic["training"][cost]
        cells = [number(use["flop"]), brief(use["seconds"]), number(training)]
        cells += [amount(n * use[cost]["value"], use[cost]["unit"]), number(tactic["total"][cost])]
        made.add_row(str(number_), *cells, "yes" if tactic["pareto"] else "")
    first = next(iter(content["tactics"].values()))
    made.add_section()
    made.add_row("known", "counted", "measured", *[first["training"][cost]["how"]] * 3, "")
    return made


def _overtaking(content: Mapping[str, Any]) -> Table:
    caption = (
        f"From how many inferences on the tactic of the row takes less {words.NOUNS[content['cost']]} than that of the "
        "column, training included. A question mark: the seeds do not tell."
    )
    order = [name for name, _ in ordered(content)]
    made = _table("Who overtakes whom", caption, [str(place) for place in range(1, len(order) + 1)])
    for place, name in enumerate(order, 1):
        others = content["overtakes"][name]
        made.add_row(f"{place} {name}", *["" if other == name else _after(others[other]) for other in order])
    return made


def _after(answer: Mapping[str, Any]) -> str:
    n = answer["inferences"]
    said = "never" if n == "inf" else human.si(float(f"{n:.3g}"), "").strip() if n else "at once"
    return said if answer["beyond_noise"] else f"{said} ?"
