"""The job of `tithe bench`: every row, for every number of threads, all systems and densities in one go."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from tithe import budget
from tithe.bench.contestants import layers
from tithe.bench.entries import Entries
from tithe.bench.job import Job
from tithe.bench.measure import measure
from tithe.bench.results import Timed, row_report
from tithe.bench.rows import Row


@dataclass(frozen=True)
class Moment:
    """Where the measuring is, for whoever watches."""

    row: int  # 1..rows
    rows: int  # threads counted
    title: str
    doing: str = "preparing"  # or "measuring"
    fraction: float = 0.0  # of the row's time


Watch = Callable[[Moment], None]


def run(job: Job, rows: list[dict[str, Any]], watch: Watch = lambda moment: None) -> None:
    """Measure; `rows` is filled row by row, so that an interruption leaves what was measured, the last one in part.

    Args:
        job: what was asked for.
        rows: takes the figures of each row and number of threads, see `results.row_report`.
        watch: called several times a second.

    Raises:
        UsageError: a density leaves a layer without a weight; nothing was measured.
    """
    _check_densities(job)
    before = torch.get_num_threads()
    plan = [(row, threads) for row in job.rows for threads in job.threads or (before,)]
    try:
        for number, (row, threads) in enumerate(plan, start=1):
            torch.set_num_threads(threads)
            title = f"{row.title}, {threads} thread{'s' if threads > 1 else ''}"
            _run_row(job, row, threads, rows, Moment(number, len(plan), title), watch)
    finally:
        torch.set_num_threads(before)


def _check_densities(job: Job) -> None:
    for row in job.rows:
        with torch.device("meta"):
            shapes = {name: tuple(layer.weight.shape) for name, layer in layers(row.make()).items()}
        for density in job.densities:
            budget.counts(shapes, density, job.budget)


def _run_row(job: Job, row: Row, threads: int, rows: list[dict[str, Any]], moment: Moment, watch: Watch) -> None:
    watch(moment)
    entries = Entries(row, threads, job.seconds, job.budget, job.bfloat16)
    for _ in entries.fill(job.densities):
        watch(moment)
    turns = {key: entry.turns for key, entry in entries.taken.items()}
    try:
        measure(turns, job.seconds, lambda fraction: watch(replace(moment, doing="measuring", fraction=fraction)))
    finally:
        timed = [
            Timed(entry.system, entry.density, entry.turns.times)
            for entry in entries.taken.values()
            if entry.turns.times
        ]
        if timed:
            rows.append(row_report(row, threads, timed, entries.left_out) | {"budget": job.budget})
