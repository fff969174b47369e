"""Prints the tables of README.md and docs/performance.md from the raw results, so that no figure is copied by hand.

python benchmarks/tables.py sparse_layers_are_faster_than_dense
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def lines(report: dict) -> Iterator[str]:
    """One table a row of the benchmark: a line a system, a column a density, 1 / 2 threads."""
    specs = list(dict.fromkeys(row["spec"] for row in report["rows"]))
    for spec in specs:
        rows = [row for row in report["rows"] if row["spec"] == spec]
        densities = sorted({r["density"] for r in rows[0]["results"] if r["density"]}, reverse=True)
        dense = " / ".join(milliseconds(best(row, "dense float32", None)["median_ms"]) for row in rows)
        yield f"| {rows[0]['title']} (dense: {dense} ms) | " + " | ".join(f"{d:.0%}" for d in densities) + " |"
        yield "|---" * (len(densities) + 1) + "|"
        systems = dict.fromkeys(name(r) for row in rows for r in row["results"])
        for system in systems:
            if system == "dense float32":
                continue
            cells = [cell(rows, system, density) for density in densities]
            yield f"| {system} | " + " | ".join(cells) + " |"
        yield ""


def name(result: dict) -> str:
    """What tells apart: our variants are systems of their own."""
    ours = result["system"] == "sparse" and result["variant"]
    return f"sparse, {result['variant']}" if ours else result["system"]


def milliseconds(value: float) -> str:
    """Three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def best(row: dict, system: str, density: float | None) -> dict | None:
    """The fastest variant of a system."""
    found = [r for r in row["results"] if name(r) == system and r["density"] == density]
    return min(found, key=lambda r: r["median_ms"]) if found else None


def cell(rows: list[dict], system: str, density: float) -> str:
    """Times as fast as the best dense float32, for each number of threads."""
    dense = system.startswith("dense")
    found = [best(row, system, None if dense else density) for row in rows]
    return " / ".join(f"{r['speedup_float32']:.2g}x" if r else "-" for r in found)


if __name__ == "__main__":
    for given in sys.argv[1:]:
        print("\n".join(lines(json.loads((RESULTS / f"{given}.json").read_text()))))
