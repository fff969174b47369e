"""All studies by name. Nothing heavy is imported here."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tithe.errors import UsageError

if TYPE_CHECKING:
    from tithe.studies.kept import Kept
    from tithe.studies.study import Asked, Study


@dataclass(frozen=True)
class Entry:
    """A study: where it is, what it measures again, what it may be told."""

    home: str  # module; its `study(asked, kept)` does it
    line: str  # for help: the claim
    takes: tuple[str, ...] = ()  # options that mean something to it, beside --out, --quick and --json

    def study(self, asked: Asked, kept: Kept) -> Study:
        """Do it."""
        return importlib.import_module(self.home).study(asked, kept)


_TRAINS = ("seeds", "data", "data_dir", "download", "methods", "epochs")
_TRAINS += ("batch_size", "lr", "augment", "processes", "threads")

STUDIES = {
    "tactics": Entry(
        "tithe.studies.tactics",
        "pruning, penalties and search make networks cheaper to use, only sparse from scratch cheaper to train",
        (*_TRAINS, "model", "density", "inferences"),
    ),
    "sparse-momentum": Entry(
        "tithe.studies.sparse_momentum",
        "sparse momentum reaches its published accuracy, and that of SET, DSR, RigL, SNIP and nearly dense training",
        (*_TRAINS, "model", "density"),
    ),
    "expert-or-flexible": Entry(
        "tithe.studies.expert_or_flexible",
        "an expert's features win with little data, a flexible model given all with much, for more compute",
        ("seeds", "data"),
    ),
    "theory": Entry(
        "tithe.studies.theory",
        "a linear model k times better takes k^2 the data and k^4 the compute",
        ("seeds",),
    ),
    "new-test-set": Entry(
        "tithe.studies.new_test_set",
        "a small shift of the test set costs accuracy, and sparse networks lose more",
        ("seeds", "data", "data_dir", "download", "published"),
    ),
    "vanishing": Entry(
        "tithe.studies.vanishing",
        "gradients vanish through depth without skip connections; sparse layers need weights drawn per neuron",
        ("seeds",),
    ),
}
"""Name -> study, in the order of help."""


def find(name: str) -> Entry:
    """The study of that name.

    Raises:
        UsageError: there is none; the message has the nearest.
    """
    if name in STUDIES:
        return STUDIES[name]
    near = difflib.get_close_matches(name.lower().replace("_", "-"), STUDIES, n=1)
    advice = f"; did you mean {near[0]}?" if near else "."
    raise UsageError(f"study {name!r} is not known: choose one of {', '.join(STUDIES)}{advice}")


def lines() -> str:
    """A line for each study, for help."""
    width = max(map(len, STUDIES))
    return "\n".join(f"  {name:<{width}}  {entry.line}" for name, entry in STUDIES.items())
