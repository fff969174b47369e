"""What a report says in words: what the run was, what came out, which assumptions, configuration and machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tithe import human
from tithe.cost.bill import LABELS
from tithe.cost.figure import Figure
from tithe.cost.run import Run
from tithe.report import figures
from tithe.report.bars import Bill
from tithe.report.gather import Story

_RATES = {
    "watts": "power under load",
    "pue": "PUE",
    "kg_co2_per_kwh": "CO2 of a kWh",
    "usd_per_kwh": "price of a kWh",
    "usd_per_hour": "rent of an hour",
}
_KNOWN = ("bill", "recipe", "machine", "data_sha256", "test_examples", "training_memory", "layers", "plan")
_NOTHING = ("", "none", None)


def title(story: Story) -> str:
    """lenet-300-100 on mnist."""
    half = story.first
    model = half.model or half.group or "A run"
    return f"{model} on {half.data}" if half.data else model


def claim(story: Story) -> str:
    """The answer in a sentence or two."""
    first = story.first
    if first.error is None:
        why = "diverged: it reached no error" if first.status == "diverged" else "has no error on record"
        return f"The {first.half} half {why}."
    error = figures.number("error", _error(first), first)
    said = f"Test error {error}" if first.half == "imported" else f"{_weights(first)}, the test error is {error}"
    dense = next((half for half in story.halves[1:] if half.half == "dense"), None)
    if dense is None:
        return f"{said}."
    if dense.error is None:
        return f"{said}; the dense half {dense.status}."
    return f"{said}; dense it is {figures.number('error', _error(dense), dense)}.{_spent(first, dense)}"


def _weights(half: Run) -> str:
    if half.half == "dense" or half.density is None:
        return "Dense" if half.half == "dense" else "Sparse"
    return f"With {human.density(half.density)} of the weights"


def _spent(sparse: Run, dense: Run) -> str:
    """What sparse training took of the dense one's."""
    own, other = figures.of_half(sparse), figures.of_half(dense)
    names = {"flop": "FLOP", "seconds": "time", "kwh": "energy", "usd": "rent"}
    shares = {
        said: human.percent(own[name].value / other[name].value, 0)
        for name, said in names.items()
        if name in own and name in other and other[name].value
    }
    if not shares:
        return ""
    by_share: dict[str, list[str]] = {}
    for said, share in shares.items():
        by_share.setdefault(share, []).append(said)
    parts = [f"{share} of the {human.listed(words)}" for share, words in by_share.items()]
    return f" It took {human.listed(parts)} of dense training."


def _error(half: Run) -> Figure | None:
    return figures.of_half(half).get("error")


def comparison(stories: Sequence[Story]) -> str:
    """Which of the runs is best, and which is cheapest."""
    halves = [(number, half) for number, story in enumerate(stories, 1) for half in story.halves]
    known = [(half.error, f"run {number}, {half.half}", half) for number, half in halves if half.error is not None]
    said = []
    if known:
        _, name, half = min(known, key=lambda each: each[0])
        said.append(f"Lowest test error: {figures.number('error', _error(half), half)}, {name}.")
    for field, what in (("usd", "Cheapest"), ("flop", "Least work")):
        costs = [(f, f"run {n}, {h.half}") for n, h in halves if (f := figures.of_half(h).get(field)) is not None]
        if costs:
            figure, name = min(costs, key=lambda each: each[0].value)
            said.append(f"{what}: {figure.number()}, {name}.")
    return " ".join(said) or "None of these runs has an error or a cost on record."


def facts(story: Story) -> str:
    """One line under the title: how it was trained."""
    half = story.first
    epochs = None if half.epochs is None else f"{half.epochs} epoch{'s' if half.epochs != 1 else ''}"
    parts = [
        f"run {story.name}",
        half.method if half.method not in _NOTHING else None,
        epochs,
        None if half.examples is None else f"{half.examples:,} training examples",
        f"{tests:,} test examples" if isinstance(tests := half.more.get("test_examples"), int) else None,
        None if half.seed is None else f"seed {half.seed}",
        half.finished[:10] or None,
    ]
    return " · ".join(part for part in parts if part)


def ends(drawn: Sequence[tuple[str, str, bool, Run]]) -> str:
    """Where the curves end, for those who do not see them."""
    last = [(label, half.curve[-1].error) for label, _, _, half in drawn if half.curve]
    return ", ".join(f"{label} {human.percent(error, 2)}" for label, error in last if error is not None)


def said_in_bars(name: str, bills: Sequence[Bill]) -> str:
    """A bar chart in words."""
    known = [f"{bill.label} {bill.figures[name].number()}" for bill in bills if name in bill.figures]
    return f"{LABELS[name].strip()}: {', '.join(known)}"


def sources(story: Story) -> list[dict[str, Any]]:
    """Where each figure comes from: those of the first half that has it, then the assumptions."""
    found: dict[str, Figure] = {}
    for half in story.halves:
        found = figures.of_half(half) | found
    labels = {"error": "test error"} | LABELS
    rows = [_source(label.strip(), found[name]) for name, label in labels.items() if name in found]
    rates = next((half.more["bill"].get("rates", {}) for half in story.halves if half.more.get("bill")), {})
    return rows + assumed(rates)


def assumed(rates: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What stands between seconds and energy, CO2 and money: a bill's rates, each with its value and source."""
    known = {name: rates[name] for name in _RATES if isinstance(rates.get(name), Mapping)}
    return [_source(_RATES[name], Figure.from_json(value), value=True) for name, value in known.items()]


def _source(label: str, figure: Figure, value: bool = False) -> dict[str, Any]:
    unit = "" if figure.unit == "1" else f" {figure.unit}"
    between = f", {figure.least:.3g} to {figure.most:.3g}{unit}" if figure.has_interval else ""
    said = f"{figure.value:.3g}{unit}{between}" if value else ""
    return {"label": label, "value": said, "how": [figure.how], "source": figure.source}


def sections(story: Story) -> list[dict[str, Any]]:
    """What is folded away: (heading, rows of name and text)."""
    half = story.first
    recipe, machine = (half.more.get(name) or {} for name in ("recipe", "machine"))
    identity = {
        "run": half.run,
        "finished (UTC)": half.finished,
        "tithe": half.version,
        "data, sha256": half.more.get("data_sha256"),
    }
    other = {name: value for name, value in half.more.items() if name not in _KNOWN}
    found = [
        ("Configuration", recipe),
        ("Machine and versions", machine or {"processor": half.machine}),
        ("This run", identity | ({"group": half.group, "year": half.year} if half.half == "imported" else {})),
        ("Also on record", other),
    ]
    made = [{"heading": heading, "rows": _rows(content)} for heading, content in found]
    return [section for section in made if section["rows"]] + _layers(half)


def _rows(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(str(name).replace("_", " "), _text(value)) for name, value in content.items() if value not in ("", None)]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _layers(half: Run) -> list[dict[str, Any]]:
    layers = half.more.get("layers") or []
    rows = [
        (
            layer["name"],
            f"{' x '.join(map(str, layer['shape']))}, {layer['nnz']:,} weights ({human.density(layer['density'])})",
        )
        for layer in layers
    ]
    return [{"heading": f"Layers of the {half.half} network", "rows": rows}] if rows else []
