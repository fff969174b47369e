"""`tithe bench`: sparse training beside dense training and beside other sparse libraries, timed."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from tithe.cli import STATUS_INTERRUPTED, Stopped
from tithe.errors import UsageError

DEFAULT_OUT = Path("tithe-bench")

EXAMPLES = """\b
Examples:
  tithe bench                                       two linear layers and a convolution, about two minutes
  tithe bench --shapes all --threads 1,2 --seconds 60
  tithe bench layer --shapes linear:4096x4096@256 --density 0.1 --density 0.02 --out bench/wide
  tithe bench layer --shapes conv:128-128-3x3,16x16@64
  tithe bench step --models wrn-16-8@32 --density 0.1,0.05 --seconds 120

\b
Every time is measured, in rounds that give each contestant one turn, so that whatever disturbs the
machine disturbs all of them; shown is the median with the middle half of the rounds. Dense is the
best of contiguous and channels_last, in float32 and under bfloat16 autocast. Each sparse contestant
must first compute what the dense layer with the same weights computes; one that does not is named
and not timed. SparseLab comes with: pip install 'tithe[bench]'

\b
Exit status: 0 done, 2 bad input, 130 Ctrl-C, 143 SIGTERM; after the last two, what was measured is kept.
"""


@click.command("bench", epilog=EXAMPLES, short_help="Time sparse layers and training steps, beside dense ones.")
@click.argument("what", required=False, default="layer", metavar="[layer|step]")
@click.option(
    "--shapes",
    help="Layers, joined by commas: linear:INxOUT@BATCH or conv:IN-OUT-KxK,HxW@BATCH (stride 1); all: the default ones "
    "and two large convolutions, 256 and 640 channels wide.  "
    "[default: linear:1024x1024@128,linear:784x300@128,conv:64-64-3x3,32x32@32]",
)
@click.option(
    "--models",
    help="Networks for step, joined by commas: NAME or NAME@BATCH, names as in tithe train; all: the default ones, "
    "wrn-16-8@32 and resnet18@64, which take minutes.  [default: mlp:1024-1024@100,lenet-300-100@100]",
)
@click.option(
    "--density",
    "densities",
    multiple=True,
    help="Fraction of the weights that exist.  [default: 0.2,0.1,0.05,0.02,0.01]",
)
@click.option("--threads", multiple=True, help="CPU threads, each number a measurement.  [default: torch's choice]")
@click.option("--seconds", type=float, help="Time for the rounds of one row and number of threads.  [default: 20]")
@click.option(
    "--budget",
    type=click.Choice(["uniform", "erk"]),
    default="uniform",
    show_default=True,
    help="How the layers of a network share the weights: uniform, each the same density, so that FLOP fall by "
    "1/density; erk, as tithe train does, small layers denser.",
)
@click.option(
    "--bfloat16/--no-bfloat16", default=True, help="Also time bfloat16 autocast; slow where a processor has none."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=DEFAULT_OUT,
    show_default=True,
    help="Folder for bench.json and bench.png.",
)
@click.option("--json", "as_json", is_flag=True, help="Print bench.json on stdout, nothing else.")
def command(
    what: str,
    shapes: str | None,
    models: str | None,
    densities: tuple[str, ...],
    threads: tuple[str, ...],
    seconds: float | None,
    budget: str,
    bfloat16: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Time training passes: sparse, dense, and other sparse libraries where they are installed.

    layer (the default) times forward and both gradients of single layers; step times whole training steps of networks:
    forward, loss, backward and SGD with momentum. Small ones by default; give --seconds more for steadier figures.
    """
    import torch  # noqa: F401  # before tithe's kernels: both must use torch's OpenMP

    from tithe.bench.job import SECONDS, Job, check_out, rows_of
    from tithe.bench.run import run
    from tithe.cli.bench_progress import watching

    job = Job(
        rows_of(what, shapes, models),
        densities=_numbers("density", float, densities) or Job.densities,
        threads=_numbers("threads", int, threads),
        seconds=SECONDS if seconds is None else seconds,
        budget=budget,
        bfloat16=bfloat16,
    )
    check_out(out)
    rows: list[dict[str, Any]] = []
    with _kept(what, rows, out, as_json), watching() as watch:
        run(job, rows, watch)


@contextlib.contextmanager
def _kept(what: str, rows: list[dict[str, Any]], out: Path, as_json: bool) -> Iterator[None]:
    """Write and show what was measured, at the end of the block or when it is interrupted."""
    try:
        yield
    except KeyboardInterrupt as stop:
        kept = _finish(what, rows, out, as_json, finished=False)
        raise Stopped(f"interrupted; {kept}", STATUS_INTERRUPTED) from stop
    except Stopped as stop:
        kept = _finish(what, rows, out, as_json, finished=False)
        raise Stopped(f"terminated; {kept}", stop.exit_status) from stop
    _finish(what, rows, out, as_json, finished=True)


def _finish(what: str, rows: list[dict[str, Any]], out: Path, as_json: bool, finished: bool) -> str:
    """Write, show, and say what was kept."""
    from tithe.bench import picture
    from tithe.bench.results import report
    from tithe.train.files import make_folder, write_json

    if not rows:
        return "nothing was measured."
    content = report(what, rows, finished)
    make_folder(out)
    picture.draw(content, out / "bench.png")
    write_json(out / "bench.json", content)
    if as_json:
        click.echo(json.dumps(content, indent=1))
    else:
        _show(content, out)
    return f"what was measured is in {out}/."


def _show(content: dict[str, Any], out: Path) -> None:
    from rich.console import Console

    from tithe.bench.table import table

    for row in content["rows"]:
        Console().print(table(row))
    click.echo(f"\nIn {out}/: bench.json with every figure, and the picture bench.png")


def _numbers(name: str, kind: type, given: tuple[str, ...]) -> tuple[Any, ...]:
    """Numbers joined by commas, of an option that may be repeated."""
    texts = [text for option in given for text in re.split(r"[\s,]+", option.strip())]
    try:
        return tuple(dict.fromkeys(kind(text) for text in texts))
    except ValueError as error:
        example = "1,2" if kind is int else "0.1,0.05"
        raise UsageError(f"--{name} {','.join(texts)} was given; write numbers joined by commas: {example}.") from error
