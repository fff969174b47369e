"""What every tactic gets the same amount of: epochs, training FLOP or training seconds."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tithe import human
from tithe.errors import UsageError

Kind = Literal["epochs", "flop", "seconds"]
_UNITS: dict[str, tuple[Kind, float]] = {
    "": ("epochs", 1),
    "epoch": ("epochs", 1),
    "epochs": ("epochs", 1),
    "flop": ("flop", 1),
    "flops": ("flop", 1),
    "kflop": ("flop", 1e3),
    "mflop": ("flop", 1e6),
    "gflop": ("flop", 1e9),
    "tflop": ("flop", 1e12),
    "pflop": ("flop", 1e15),
    "eflop": ("flop", 1e18),
    "s": ("seconds", 1),
    "sec": ("seconds", 1),
    "second": ("seconds", 1),
    "seconds": ("seconds", 1),
    "min": ("seconds", 60),
    "h": ("seconds", 3600),
}
_SHAPE = re.compile(r"^([-+]?[0-9.]+(?:e[-+]?[0-9]+)?|)\s*([a-z]*)$")
_ALLOWED = "write a number with its unit, such as 20epochs, 2e12FLOP, 3TFLOP or 90s"


@dataclass(frozen=True)
class Budget:
    """So much training for each run."""

    kind: Kind
    amount: float | None  # epochs, FLOP or s; None: what the recipe's epochs take, for FLOP those of dense training

    def says(self) -> str:
        """For people: 20 epochs each."""
        if self.amount is None:
            return "as many FLOP as dense training each" if self.kind == "flop" else "the recipe's epochs each"
        if self.kind == "epochs":
            return f"{self.amount:g} epoch{'s' if self.amount != 1 else ''} each"
        unit = "FLOP" if self.kind == "flop" else "s"
        said = human.si(self.amount, unit) if self.kind == "flop" else human.duration(self.amount)
        return f"{said} of training each"


DENSE_FLOP = Budget("flop", None)


def parsed(texts: Sequence[str], epochs: int | None) -> Budget:
    """The budget that was asked for on the command line.

    Args:
        texts: the values of --budget.
        epochs: the value of --epochs, which is a budget too, unless the FLOP are those of dense training: then it says
            how long that would take.

    Raises:
        UsageError: no number with a known unit, or two budgets that contradict each other.

    >>> parsed(["3 TFLOP"], None)
    Budget(kind='flop', amount=3000000000000.0)
    """
    found = {text: _one(text) for text in texts}
    if epochs is not None and set(found.values()) != {DENSE_FLOP}:
        found[f"--epochs {epochs}"] = _checked(Budget("epochs", epochs), f"--epochs {epochs}")
    if len(set(found.values())) > 1:
        raise UsageError(
            f"the budgets {' and '.join(found)} contradict each other: runs can be equal in one thing only; give one."
        )
    return next(iter(found.values()), Budget("epochs", None))


def _one(text: str) -> Budget:
    shape = _SHAPE.match(text.strip().lower())
    if shape is None or shape[2] not in _UNITS or not (shape[1] or shape[2]):
        raise UsageError(f"--budget {text} is not understood: {_ALLOWED}.")
    kind, factor = _UNITS[shape[2]]
    if not shape[1]:
        if kind == "seconds":
            raise UsageError(f"--budget {text} does not say how many seconds: {_ALLOWED}.")
        return Budget(kind, None)
    try:
        amount = float(shape[1]) * factor
    except ValueError:
        raise UsageError(f"--budget {text} is not understood: {_ALLOWED}.") from None
    return _checked(Budget(kind, amount), f"--budget {text}")


def _checked(budget: Budget, text: str) -> Budget:
    amount = budget.amount or 0.0
    if not 0 < amount < math.inf:
        raise UsageError(f"{text} is not possible: give a finite number above 0.")
    if budget.kind == "epochs" and amount != int(amount):
        raise UsageError(f"{text} is not possible: epochs are whole numbers.")
    return Budget(budget.kind, int(amount)) if budget.kind == "epochs" else budget
