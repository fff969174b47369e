"""What was measured, as `bench.json` holds it: every figure with its unit, and how it is known."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

import tithe
from tithe.bench.contestants import DENSE, DENSE_BF16, SYSTEMS, System
from tithe.bench.measure import figures
from tithe.bench.rows import Row
from tithe.train.results import machine

FORMAT = 1

UNITS = {
    "median_ms": ("ms", "measured", "wall-clock time of a pass: forward and backward; in steps also the optimizer"),
    "low_quartile_ms": ("ms", "measured", "a quarter of the rounds was quicker"),
    "high_quartile_ms": ("ms", "measured", "a quarter of the rounds was slower"),
    "rounds": ("rounds", "counted", "measured passes of this contestant; one round has a turn of each"),
    "speedup_float32": ("1", "measured", "median of the best dense float32 variant / this median"),
    "speedup_bfloat16": ("1", "measured", "median of the best dense bfloat16 variant / this median"),
    "limit": ("1", "counted", "1 / density: how many times fewer weights there are than in the dense layer"),
}


@dataclass(frozen=True)
class Timed:
    """The measured passes of a system at a density; None: dense."""

    system: System
    density: float | None
    times: list[float]  # ms


@dataclass(frozen=True)
class LeftOut:
    """A system that was not timed; density None: at none of the densities."""

    system: str
    variant: str
    density: float | None
    reason: str


def row_report(row: Row, threads: int, timed: Sequence[Timed], left_out: Sequence[LeftOut]) -> dict[str, Any]:
    """The figures of one row and number of threads."""
    results = [
        {"system": t.system.name, "variant": t.system.variant, "density": t.density, **asdict(figures(t.times))}
        for t in timed
    ]
    best = {name: min((r["median_ms"] for r in results if r["system"] == name), default=None) for name in _DENSE}
    for result in results:
        for field, name in (("speedup_float32", DENSE), ("speedup_bfloat16", DENSE_BF16)):
            result[field] = best[name] / result["median_ms"] if best[name] is not None else None
        result["limit"] = 1 / result["density"] if result["density"] is not None else None
    return {
        "kind": row.kind,
        "spec": row.spec,
        "title": row.title,
        "threads": threads,
        "results": results,
        "left_out": [asdict(one) for one in left_out],
    }


_DENSE = (DENSE, DENSE_BF16)


def report(what: str, rows: list[dict[str, Any]], finished: bool) -> dict[str, Any]:
    """The whole of `bench.json`."""
    where = {name: value for name, value in machine().items() if name != "threads"}  # a row has its own
    return {
        "format": FORMAT,
        "what": what,
        "finished": finished,
        "versions": versions(),
        "machine": where | {"torch_instruction_set": torch.backends.cpu.get_cpu_capability()},
        "rows": rows,
        "units": {
            name: {"unit": unit, "known": known, "meaning": meaning} for name, (unit, known, meaning) in UNITS.items()
        },
    }


def versions() -> dict[str, str | None]:
    """Of tithe and of the other systems' packages; None: not installed."""
    found: dict[str, str | None] = {"tithe": tithe.__version__}
    return found | {system.package: system.version() for system in SYSTEMS if system.package is not None}


def best(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The best variant of each system and density, in the order in which they were measured."""
    chosen: dict[tuple[str, float | None], dict[str, Any]] = {}
    for result in row["results"]:
        key = (result["system"], result["density"])
        if key not in chosen or result["median_ms"] < chosen[key]["median_ms"]:
            chosen[key] = result
    return list(chosen.values())
