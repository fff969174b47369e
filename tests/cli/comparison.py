"""What the tests of `tithe compare` share: a small comparison and what it left behind."""

import json
from pathlib import Path
from typing import Any

SMALL = ["--model", "mlp:24-16", "--batch-size", 32, "--threads", 1, "--density", 0.2]
METHODS = ["--methods", "rigl,static,dense"]
TWO = [*SMALL, *METHODS, "--seeds", 2, "--epochs", 2]


def result(out: Path) -> dict[str, Any]:
    """What came out, as the folder has it."""
    return json.loads((out / "result.json").read_bytes())


def stamps(out: Path) -> dict[Path, int]:
    """When each file of the runs was written."""
    return {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*")}


def learned(out: Path) -> dict[str, bytes]:
    """The last tensors of every run, by its folder."""
    return {path.parent.parent.name: path.read_bytes() for path in out.glob("runs/*/sparse/checkpoint-*.safetensors")}
