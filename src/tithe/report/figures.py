"""The figures of a run, as cells of the page's cards and tables: number, interval, how it is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tithe import human
from tithe.cost.bill import LABELS
from tithe.cost.figure import Figure
from tithe.cost.run import Run
from tithe.report import bill as bills
from tithe.report.gather import Story
from tithe.report.plan import checked

MISSING = "–"
CARDS = {  # in the order of what a reader wants first
    "error": "Test error",
    "usd": "Cost, as rent",
    "seconds": "Time",
    "kwh": "Energy",
    "kg_co2": "CO2",
    "flop": "Training FLOP",
}
_MORE = {  # of the network, below the bill
    "parameters": "weights",
    "training_seconds": "training alone",
    "steady_bytes": "weights, gradients, optimizer",
    "peak_bytes": "  the same, while scouting",
}
_NOT_OURS = "as its owner reported it"


def of_half(half: Run) -> dict[str, Figure]:
    """Every figure of a half that is known, with its label."""
    bill = bills.figures(half.more.get("bill") or {})
    return _own(half) | _plain(half, bill) | bill


def _own(half: Run) -> dict[str, Figure]:
    """What the network is and reached."""
    ours = half.half != "imported"
    counted, measured = ("counted", "measured") if ours else ("assumed", "assumed")
    examples = half.more.get("test_examples")
    test = f"{examples:,} test examples" if isinstance(examples, int) else "the test examples"
    memory = half.more.get("training_memory") or {}
    found = {
        "error": (half.error, "1", measured, f"{test}, after the last epoch" if ours else _NOT_OURS),
        "parameters": (half.parameters, "weights", counted, "weights that exist in linear and convolution layers"),
        "training_seconds": (half.seconds, "s", measured, "batches, steps and rewirings; no evaluation"),
        "steady_bytes": (memory.get("steady_bytes"), "B", "measured", "live tensors, outside scouting"),
        "peak_bytes": (memory.get("peak_bytes"), "B", "measured", "the same, with scouting's accumulators"),
    }
    return {name: Figure(float(v), u, how, source=s) for name, (v, u, how, s) in found.items() if v is not None}  # type: ignore[arg-type]


def _plain(half: Run, bill: dict[str, Figure]) -> dict[str, Figure]:
    """What the ledger's columns say where there is no bill: of imported runs, and of versions before bills."""
    if bill:
        return {}
    ours = half.half != "imported"
    columns = {"flop": "FLOP", "seconds": "s", "kwh": "kWh", "kg_co2": "kg", "usd": "USD"}
    how = {"flop": "counted", "seconds": "measured"} if ours else {}
    said = "training alone; this run was not metered" if ours else _NOT_OURS
    known = {name: getattr(half, name) for name in columns}
    return {
        name: Figure(value, columns[name], how.get(name, "assumed"), source=said)  # type: ignore[arg-type]
        for name, value in known.items()
        if value is not None
    }


def number(name: str, figure: Figure | None, half: Run) -> str:
    """A figure as people read it."""
    if figure is None:
        return half.status if name == "error" and half.status != "finished" else MISSING
    if name == "error":
        return human.percent(figure.value, _decimals(half))
    return human.counted_out(figure.value) if figure.unit == "weights" else figure.number()


def beside(name: str, sparse: tuple[Run, Figure | None], dense: tuple[Run, Figure | None]) -> str:
    """Sparse over dense; errors are subtracted, in percentage points."""
    (half, first), (_, second) = sparse, dense
    if first is None or second is None:
        return MISSING
    if name == "error":
        return f"{100 * (first.value - second.value):+.{_decimals(half)}f} points"
    return human.three_digits(first.value / second.value) if second.value else MISSING


def _decimals(half: Run) -> int:
    examples = half.more.get("test_examples")
    return human.accuracy_decimals(examples if isinstance(examples, int) else 1000)


def how(known: Sequence[Figure | None]) -> list[str]:
    """The labels of the halves' figures, each once."""
    return sorted({figure.how for figure in known if figure is not None})


def cards(story: Story) -> list[dict[str, Any]]:
    """The answer: error, cost and what it took, each half's."""
    found = [of_half(half) for half in story.halves]
    return [
        {
            "label": label,
            "halves": [
                {
                    "half": half.half,
                    "number": number(name, known.get(name), half),
                    "interval": _interval(known.get(name)),
                }
                for half, known in zip(story.halves, found, strict=True)
            ],
            "beside": _said_beside(name, story, found),
            "how": how([known.get(name) for known in found]),
        }
        for name, label in CARDS.items()
        if name == "error" or any(name in known for known in found)
    ]


def _said_beside(name: str, story: Story, found: list[dict[str, Figure]]) -> str:
    if len(story.halves) < 2:
        return ""
    said = beside(name, *[(half, known.get(name)) for half, known in zip(story.halves, found, strict=True)][:2])
    if said == MISSING:
        return ""
    if name == "error":
        return said
    ratio = float(said.replace(",", ""))
    return f"{human.three_digits(100 * ratio)} % of dense" if ratio < 10 else f"{said} times dense"


def _interval(figure: Figure | None) -> str:
    """873 to 1,440 mWh; the unit once where it is the same."""
    if figure is None or not figure.has_interval:
        return ""
    low, high = figure.interval().split(" to ")
    unit = high.split(" ", 1)[-1]
    return f"{low.removesuffix(' ' + unit)} to {high}"


def ending(half: Run) -> str:
    """The test error that its curve ends at."""
    return number("error", of_half(half).get("error"), half)


def bill(story: Story) -> list[dict[str, Any]]:
    """The rows of the bill: label, a cell a half, their ratio, how they are known."""
    found = [of_half(half) for half in story.halves]
    labels = {"error": "test error"} | LABELS | _MORE
    rows = []
    for name, label in labels.items():
        known = [each.get(name) for each in found]
        if not any(known):
            continue
        halves = list(zip(story.halves, known, strict=True))
        rows.append(
            {
                "label": label.strip(),
                "part": label.startswith(" "),
                "cells": [{"number": number(name, f, half), "interval": _interval(f)} for half, f in halves],
                "beside": beside(name, *halves[:2]) if len(halves) > 1 else "",
                "how": how(known),
            }
        )
    return rows


def plan(story: Story) -> list[dict[str, Any]]:
    """What was predicted before the run, beside what came: a row a half and quantity."""
    rows = []
    for half in story.halves:
        for label, check in checked(half.more.get("plan") or {}):
            predicted, came = (Figure.from_json(check[key]) for key in ("predicted", "measured"))
            ratio = check["ratio"]
            cells = [(predicted.number(), _interval(predicted), how([predicted])), (came.number(), "", how([came]))]
            rows.append(
                {
                    "label": label,
                    "half": half.half,
                    "cells": [{"number": n, "interval": i, "how": h} for n, i, h in cells],
                    "ratio": MISSING if ratio is None else human.three_digits(ratio),
                }
            )
    return rows


def overview(stories: Sequence[Story]) -> dict[str, Any]:
    """The table of all halves: what tells them apart, and the answer."""
    halves = [(number, half) for number, story in enumerate(stories, 1) for half in story.halves]
    apart = {
        "data": str, "model": str, "method": str, "density": human.density, "seed": str, "epochs": str,
    }  # fmt: skip
    shown = [name for name in apart if len({getattr(story.first, name) for story in stories} - {None}) > 1]
    found = [(number, half, of_half(half)) for number, half in halves]
    answer = [name for name in CARDS if name == "error" or any(name in known for _, _, known in found)]
    rows = [
        {
            "number": which,
            "half": half.half,
            "apart": [
                {"label": name, "text": MISSING if (v := getattr(half, name)) is None else apart[name](v)}
                for name in shown
            ],
            "answer": [
                {"label": CARDS[name], "number": number(name, f, half), "how": how([f])}
                for name in answer
                for f in [known.get(name)]
            ],
        }
        for which, half, known in found
    ]
    hows = [how([known.get(name) for _, _, known in found]) for name in answer]
    return {
        "apart": shown,
        "answer": [{"label": CARDS[name], "how": how} for name, how in zip(answer, hows, strict=True)],
        "rows": rows,
    }
