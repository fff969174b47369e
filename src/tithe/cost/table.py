"""The package's own tables: small CSV files with their sources in comments and columns; looked up by name."""

import csv
import difflib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from tithe.errors import UsageError


@cache
def rows(name: str) -> tuple[dict[str, str], ...]:
    """The rows of `cost/data/{name}.csv`, comment lines left out."""
    text = files("tithe.cost").joinpath("data", f"{name}.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def unknown(what: str, given: str, names: Iterable[str], instead: str) -> UsageError:
    """The error for a name that no table has: with the nearest names, or all of them where none is near."""
    known = list(names)
    near = difflib.get_close_matches(given.lower(), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}."
    return UsageError(f"{what} {given!r} is not known: {hint} {instead}")
