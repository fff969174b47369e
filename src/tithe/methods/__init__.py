"""Training methods: one published method a file, each a pure plan, and the objects that carry them out."""

import importlib
from typing import Any

from tithe.methods.registry import METHODS, Entry, find

__all__ = ["METHODS", "Entry", "find"]

_HOMES = {entry.home.split(":")[1]: entry.home.split(":")[0] for entry in METHODS.values()} | {
    "Method": "tithe.methods.base",
    "Rewiring": "tithe.methods.base",
}


def __getattr__(name: str) -> Any:
    """Classes are imported at first use, since they bring torch: `tithe train --help` only reads the lines."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tithe.methods' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
