"""Runs in one HTML file that needs nothing else: no network, no script; readable on a phone, light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import tithe
from tithe.human import kept_together
from tithe.report import bars, details, figures, inline
from tithe.report.bars import Bill
from tithe.report.descent import Axis, Curve, descent
from tithe.report.drawing import DENSE, PALETTE
from tithe.report.gather import Story
from tithe.train.files import write_atomically

TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("tithe.report"),
    autoescape=True,  # names of runs, models and data are their owners'
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write(stories: Sequence[Story], path: Path) -> Path:
    """Write the page about these runs, whole or not at all.

    Raises UsageError where the file cannot be written.
    """
    write_atomically(path, page(stories).encode())
    return path


def page(stories: Sequence[Story]) -> str:
    """The page about these runs; the same runs give the same page."""
    runs = [_run(number, story, alone=len(stories) == 1) for number, story in enumerate(stories, 1)]
    return TEMPLATES.get_template("page.html").render(
        title=runs[0]["title"] if len(runs) == 1 else f"{len(runs)} runs side by side",
        lede=runs[0]["lede"] if len(runs) == 1 else kept_together(details.comparison(stories)),
        runs=runs,
        overview=figures.overview(stories) if len(runs) > 1 else None,
        pictures=_pictures(stories),
        version=tithe.__version__,
        colours=len(PALETTE),
    )


def bills(stories: Sequence[Story]) -> list[Bill]:
    """The bills of all halves, and how they are drawn: colour says the run, or with one run the half."""
    return [
        Bill(label, colour, figures.of_half(half), hollow=dashed) for label, colour, dashed, half in _drawn(stories)
    ]


def _drawn(stories: Sequence[Story]) -> list[tuple[str, str, bool, Any]]:
    """(label, colour, dashed, half) of every half."""
    if len(stories) == 1:
        return [(half.half, DENSE if half.half == "dense" else PALETTE[0], False, half) for half in stories[0].halves]
    return [
        (f"{number} {half.half}", PALETTE[(number - 1) % len(PALETTE)], half.half == "dense", half)
        for number, story in enumerate(stories, 1)
        for half in story.halves
    ]


def _run(number: int, story: Story, alone: bool) -> dict[str, Any]:
    return {
        "number": None if alone else number,
        "anchor": f"run-{number}",
        "title": details.title(story),
        "lede": kept_together(details.claim(story)),
        "facts": details.facts(story),
        "cards": figures.cards(story),
        "bill": figures.bill(story),
        "plan": figures.plan(story),
        "sources": details.sources(story),
        "sections": details.sections(story),
    }


def _pictures(stories: Sequence[Story]) -> dict[str, Any]:
    drawn = _drawn(stories)
    curves = [Curve(label, colour, half.curve, dashed) for label, colour, dashed, half in drawn]
    over: list[tuple[Axis, str]] = [("epoch", "epoch by epoch"), ("flop", "for the work it took")]
    found = [(f"Test error {said}", descent(curves, axis)) for axis, said in over]
    billed = bills(stories)
    return {
        "curves": [
            {"title": title, "svg": inline.svg(picture, f"{title}: {details.ends(drawn)}")}
            for title, picture in found
            if picture is not None
        ],
        "legend": [
            {"label": f"{label} {figures.ending(half)}", "colour": variable(colour), "dashed": dashed}
            for label, colour, dashed, half in drawn
            if half.curve
        ],
        "bars": [
            inline.svg(bars.bars(billed, [name]), details.said_in_bars(name, billed)) for name in bars.compared(billed)
        ],
    }


def variable(colour: str) -> Markup:
    return Markup("--dense") if colour == DENSE else Markup(f"--c{PALETTE.index(colour)}")
