"""What a comparison is asked for, checked as far as it can be before anything is read or fetched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tithe.cost.hardware import PROCESSOR, cores
from tithe.cost.rates import Rates
from tithe.errors import UsageError

DEFAULT_METHODS = ("sparse-momentum", "rigl", "set", "static", "dense")
DEFAULT_DENSITIES = (0.05,)
DEFAULT_SEEDS, DEFAULT_INFERENCES = 3, 1e6
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Asked:
    """What was asked for. None and empty mean: not given, so the default, or what the folder's plan says."""

    out: Path
    resume: bool = False
    data: str | None = None
    data_dir: Path | None = None
    download: bool = False
    methods: tuple[str, ...] = ()
    densities: tuple[float, ...] = ()
    seeds: int | None = None
    budget: tuple[str, ...] = ()
    epochs: int | None = None
    options: dict[str, Any] = field(default_factory=dict)  # fields of the recipe; None: not given
    rates: dict[str, Any] = field(default_factory=dict)  # arguments of Rates.on
    inferences: float = DEFAULT_INFERENCES
    cost: str = "usd"
    processes: int = 1
    ledger: bool = True

    def check(self) -> None:
        """Raise UsageError where a number is out of range."""
        Rates.on(PROCESSOR, **self.rates)  # says what is wrong with them
        if self.seeds is not None and not 1 <= self.seeds <= MOST_SEEDS:
            raise UsageError(f"--seeds {self.seeds} is not possible: give from 1 to {MOST_SEEDS}; 3 is a good start.")
        if not 0 <= self.inferences < math.inf:
            raise UsageError(f"--inferences {self.inferences:g} is not possible: give a finite number, 0 or more.")
        if self.processes < 1:
            raise UsageError(f"--processes {self.processes} is not possible: give 1 or more.")

    @property
    def threads(self) -> dict[str, int]:
        """Runs beside each other share the cores, unless told otherwise: the recipe's field, or nothing."""
        if self.options.get("threads") is not None or self.processes == 1:
            return {}
        return {"threads": max(1, cores() // self.processes)}


def names(methods: Sequence[str]) -> tuple[str, ...]:
    """The words of a list with commas: ["a,b", "c"] -> a, b, c."""
    return tuple(word.strip() for text in methods for word in text.split(",") if word.strip())
