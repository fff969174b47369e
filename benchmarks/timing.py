"""What the timing scripts share: `tithe bench` as a function, its raw results beside the script."""

import argparse
from pathlib import Path

import torch  # noqa: F401  # before tithe's kernels: both must use torch's OpenMP
from rich.console import Console

from tithe.bench.job import Job
from tithe.bench.results import report
from tithe.bench.rows import Row
from tithe.bench.run import run
from tithe.bench.table import table
from tithe.cli.bench_progress import watching
from tithe.train.files import write_json

RESULTS = Path(__file__).parent / "results"


def given(description: str | None, seconds: float) -> argparse.Namespace:
    """The command line: `seconds` for one row and number of threads, and whether `bfloat16` takes part."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=seconds)
    parser.add_argument("--bfloat16", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args()


def measured(name: str, what: str, rows: list[Row], densities: tuple[float, ...], how: argparse.Namespace) -> None:
    """Measure with 1 and with 2 threads; print, and write results/NAME.json."""
    found: list[dict[str, object]] = []
    with watching() as watch:
        run(Job(rows, densities, (1, 2), how.seconds, how.bfloat16), found, watch)
    for row in found:
        Console(width=100).print(table(row))
    write_json(RESULTS / f"{name}.json", report(what, found, finished=True))
