"""What a study is asked and what it answers: claims with their verdicts, tables, pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tithe.cost.figure import Figure, How
from tithe.studies.verdict import ENDS, Verdict

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Asked:
    """What a user asked for. None and empty mean: not given."""

    name: str
    out: Path
    quick: bool = False  # a small version that takes seconds: it shows how it works and decides little
    seeds: int | None = None
    data: tuple[str, ...] = ()  # names or paths, as the study says
    data_dir: Path | None = None
    download: bool = False
    published: Path | None = None  # folder with published tables
    model: tuple[str, ...] = ()  # what follows is for studies that train networks
    methods: tuple[str, ...] = ()
    density: tuple[float, ...] = ()
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    augment: str | None = None
    inferences: float | None = None
    processes: int | None = None
    threads: int | None = None

    @property
    def recipe(self) -> dict[str, Any]:
        """The fields of each training's recipe that were given, but for its epochs."""
        given = {"batch_size": self.batch_size, "lr": self.lr, "augment": self.augment}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class Claim:
    """One published claim, and what the numbers say about it."""

    claim: str  # a sentence
    source: str  # paper and section, and what was published
    verdict: Verdict  # from tithe.studies.verdict: a test on `figures`, never written down by hand
    because: str  # a sentence with the numbers and their intervals
    figures: Mapping[str, Figure]  # what the verdict rests on

    def json(self) -> dict[str, Any]:
        """As study.json holds it."""
        figures = {name: figure.json() for name, figure in self.figures.items()}
        return asdict(self) | {"figures": figures}


@dataclass(frozen=True)
class Column:
    """A column of a table. X_low and X_high beside X are the ends of its 95 % interval."""

    name: str
    unit: str = ""  # empty for words
    how: How | None = None
    meaning: str = ""


def with_ends(name: str, unit: str, how: How | None, meaning: str) -> list[Column]:
    """A column of means and those of the ends of their 95 % intervals; `verdict.ends` fills them."""
    return [Column(f"{name}{end}", unit, how, meaning) for end in ENDS]


@dataclass(frozen=True)
class Table:
    """Rows of one table; the file is `name`.csv."""

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Cell]]

    def json(self) -> dict[str, Any]:
        """As study.json holds it."""
        columns = {column.name: asdict(column) for column in self.columns}
        return {"title": self.title, "columns": columns, "rows": [dict(row) for row in self.rows]}

    def csv(self) -> str:
        """With a line of names; empty where there is no value."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [column.name for column in self.columns], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()


@dataclass(frozen=True)
class Study:
    """What came out. The first table is printed, all are written."""

    claims: Sequence[Claim]
    tables: Sequence[Table]
    pictures: Sequence[Path]
    setting: Mapping[str, Any] = field(default_factory=dict)  # what was measured on what, as JSON holds it
    notes: Sequence[str] = ()  # sentences: what was left out, what differs from the paper
