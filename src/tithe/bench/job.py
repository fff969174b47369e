"""What `tithe bench` was asked for, and whether it can be done."""

from dataclasses import dataclass
from pathlib import Path

from tithe.bench.rows import Row, layer_rows, model_rows
from tithe.errors import UsageError
from tithe.train.outdir import recorded

DENSITIES = (0.2, 0.1, 0.05, 0.02, 0.01)
SECONDS = 20.0  # a row and number of threads


@dataclass(frozen=True)
class Job:
    """Rows to measure. Raises UsageError for a density, a number of threads or a time that cannot be."""

    rows: list[Row]
    densities: tuple[float, ...] = DENSITIES
    threads: tuple[int, ...] = ()  # none: torch's present number
    seconds: float = SECONDS
    bfloat16: bool = True  # whether systems under autocast take part
    budget: str = "uniform"  # or "erk": how a network's layers share the weights

    def __post_init__(self) -> None:
        for density in self.densities:
            if not 0 < density <= 1:
                raise UsageError(f"density {density:g} was given; it must be above 0 and at most 1, such as 0.05.")
        for threads in self.threads:
            if threads < 1:
                raise UsageError(f"{threads} threads were given; at least 1 is needed.")
        if self.budget not in ("uniform", "erk"):
            raise UsageError(f"budget {self.budget!r} was given; allowed are uniform and erk.")
        if not 0 < self.seconds < float("inf"):
            raise UsageError(f"{self.seconds:g} seconds were given; each row needs more than 0, such as {SECONDS:g}.")


def rows_of(what: str, shapes: str | None, models: str | None) -> list[Row]:
    """The rows of `tithe bench WHAT`.

    Raises:
        UsageError: WHAT is neither layer nor step, an option belongs to the other one, or a row is not understood.
    """
    if what not in ("layer", "step"):
        raise UsageError(f"{what!r} was given; tithe bench measures layer or step.")
    if what == "layer" and models is not None:
        raise UsageError("--models was given, which is for tithe bench step; layers are chosen with --shapes.")
    if what == "step" and shapes is not None:
        raise UsageError("--shapes was given, which is for tithe bench layer; networks are chosen with --models.")
    return layer_rows(shapes) if what == "layer" else model_rows(models)


def check_out(out: Path) -> None:
    """Say before anything is measured that `out` cannot take the results.

    Raises:
        UsageError: it is a file, holds something already, or cannot be made.
    """
    if (out / "bench.json").exists():
        raise UsageError(f"{out} already holds a benchmark; choose another folder with --out.")
    recorded(out, resume=False)
