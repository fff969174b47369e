"""The job of `tithe bench`: every row, for every number of threads, all systems and densities in one go."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import tithe
from tithe.bench.agreement import TOLERANCE, TOLERANCE_BFLOAT16, disagreement
from tithe.bench.contestants import SYSTEMS, System, mask_weights, random_masks, refusal
from tithe.bench.measure import HOPELESS, Turns, measure
from tithe.bench.probe import pass_seconds
from tithe.bench.results import LeftOut, Timed, row_report
from tithe.bench.rows import Row
from tithe.bench.trial import Trial, trial
from tithe.errors import UsageError

DENSITIES = (0.2, 0.1, 0.05, 0.02, 0.01)
SECONDS = 20.0  # a row and number of threads


@dataclass(frozen=True)
class Job:
    """What was asked for."""

    rows: list[Row]
    densities: tuple[float, ...] = DENSITIES
    threads: tuple[int, ...] = ()  # none: torch's present number
    seconds: float = SECONDS

    def __post_init__(self) -> None:
        for density in self.densities:
            if not 0 < density <= 1:
                raise UsageError(f"density {density:g} was given; it must be above 0 and at most 1, such as 0.05.")
        for threads in self.threads:
            if threads < 1:
                raise UsageError(f"{threads} threads were given; at least 1 is needed.")
        if not self.seconds > 0:
            raise UsageError(f"{self.seconds:g} seconds were given; each row needs more than 0, such as {SECONDS:g}.")


@dataclass
class Progress:
    """Where the measuring is, for whoever watches."""

    row: int  # 1..rows
    rows: int  # threads counted
    title: str
    doing: str  # "preparing" or "measuring"
    fraction: float = 0.0  # of the row's time


Watch = Callable[[Progress], None]


@dataclass
class Field:
    """Who takes part in one row, and what else is known about it."""

    turns: dict[tuple[str, float | None], Turns] = field(default_factory=dict)
    systems: dict[tuple[str, float | None], System] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)


def run(job: Job, rows: list[dict[str, Any]], watch: Watch = lambda progress: None) -> None:
    """Measure; `rows` is filled row by row, so that an interruption leaves what was measured, the last one in part.

    Args:
        job: what was asked for.
        rows: takes the figures of each row and number of threads, see `results.row_report`.
        watch: called a few times a second.

    Raises:
        UsageError: a density leaves a layer without a weight.
    """
    before = torch.get_num_threads()
    plan = [(row, threads) for row in job.rows for threads in job.threads or (before,)]
    try:
        for number, (row, threads) in enumerate(plan, start=1):
            torch.set_num_threads(threads)
            progress = Progress(number, len(plan), f"{row.title}, {_threads(threads)}", "preparing")
            watch(progress)
            _run_row(job, row, threads, rows, progress, watch)
    finally:
        torch.set_num_threads(before)


def _run_row(
    job: Job, row: Row, threads: int, rows: list[dict[str, Any]], progress: Progress, watch: Watch
) -> None:
    entered = Field()
    for _ in _enter(job, row, threads, entered):
        watch(progress)
    progress.doing = "measuring"

    def watch_time(fraction: float) -> None:
        progress.fraction = fraction
        watch(progress)

    try:
        measure({f"{key}": turns for key, turns in entered.turns.items()}, job.seconds, watch_time)
    finally:
        timed = [
            Timed(entered.systems[key], key[1], turns.times) for key, turns in entered.turns.items() if turns.times
        ]
        if timed:
            rows.append(row_report(row, threads, timed, entered.left_out))


def _enter(job: Job, row: Row, threads: int, entered: Field) -> Iterator[None]:
    """Make all trials of the row; those that cannot take part, or compute something else, are left out by name."""
    torch.manual_seed(0)
    model, x = row.make(), torch.randn(row.input_shape)
    systems = [system for system in SYSTEMS if row.kind in system.rows and _can(system, model, entered)]
    for system in (system for system in systems if system.dense):
        _enter_dense(job, row, threads, entered, system, model, x)
        yield
    for density in job.densities:
        masks = random_masks(_fresh(row), density, seed=0)
        masked = mask_weights(_fresh(row), masks)
        wanted = trial(SYSTEMS[0], row, masked, masks, x).results(masks)
        for system in (system for system in systems if not system.dense):
            _enter_sparse(row, threads, entered, system, density, (masked, masks, x), wanted)
            yield


def _can(system: System, model: nn.Module, entered: Field) -> bool:
    reason = refusal(system, model)
    if reason is not None:
        # A layout that only convolutions have is nothing to report.
        if system.package is not None or not system.variant:
            entered.left_out.append(LeftOut(system.name, system.variant, None, reason))
        return False
    return True


def _fresh(row: Row) -> nn.Module:
    """The row's model, with the same weights each time."""
    torch.manual_seed(0)
    return row.make()


def _enter_dense(
    job: Job, row: Row, threads: int, entered: Field, system: System, model: nn.Module, x: Tensor
) -> None:
    if system.autocast:  # where a processor has no bfloat16 arithmetic, one pass may take a minute
        cost, quick = pass_seconds(system, row, model, x), pass_seconds(SYSTEMS[0], row, model, x)
        if cost > max(job.seconds / 2, HOPELESS * quick):
            reason = f"one pass would take about {cost:.0f} s, extrapolated from a part of the batch (modelled)"
            entered.left_out.append(LeftOut(system.name, system.variant, None, reason))
            return
    _take_part(entered, threads, system, None, trial(system, row, model, {}, x))


def _enter_sparse(
    row: Row,
    threads: int,
    entered: Field,
    system: System,
    density: float,
    how: tuple[nn.Module, dict[str, Tensor], Tensor],
    wanted: dict[str, Tensor],
) -> None:
    tolerance = (TOLERANCE_BFLOAT16 if system.autocast else TOLERANCE)[row.kind]
    try:
        made = trial(system, row, *how)
        made.set_threads(threads)
        reason = disagreement(made.results(how[1]), wanted, tolerance)
    except Exception as error:
        if system.package is None:  # ours, or torch's
            raise
        reason = f"failed: {type(error).__name__}: {error}"
    if reason is not None:
        entered.left_out.append(LeftOut(system.name, system.variant, density, reason))
        return
    made.forget()
    _take_part(entered, threads, system, density, made)


def _take_part(entered: Field, threads: int, system: System, density: float | None, made: Trial) -> None:
    made.set_threads(threads)
    key = (system.label, density)
    settle = system.settle if threads > 1 else 0.0
    entered.systems[key] = system
    entered.turns[key] = Turns(made.run, yardstick=system.dense and not system.autocast, settle=settle)


def _threads(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def check_out(out: Path) -> None:
    """Say before anything is measured that `out` cannot take the results.

    Raises:
        UsageError: it is a file, holds something already, or cannot be made.
    """
    from tithe.train.outdir import recorded

    if (out / "bench.json").exists():
        raise UsageError(f"{out} already holds a benchmark; choose another folder with --out.")
    recorded(out, resume=False)


def versions() -> dict[str, str | None]:
    """Of tithe and of the other systems' packages; None: not installed."""
    found: dict[str, str | None] = {"tithe": tithe.__version__}
    return found | {system.package: system.version() for system in SYSTEMS if system.package is not None}
