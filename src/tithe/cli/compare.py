"""`tithe compare`: tactics side by side, over seeds, with what each costs to train and to use."""

import json
from pathlib import Path
from typing import Any

import click

from tithe.cli.paths import check_file
from tithe.cli.rates import rates_given, rates_options
from tithe.errors import UsageError
from tithe.methods.registry import lines

DEFAULT_OUT = Path("tithe-compare")
COSTS = ("usd", "kwh", "kg_co2", "seconds", "flop")

EXAMPLES = f"""\b
Methods:
{lines()}

\b
Examples:
  tithe compare                                        five methods on handwritten digits, three seeds
  tithe compare mnist --methods rigl,set,snip --density 0.02,0.05 --seeds 5 --report mnist.html
  tithe compare mnist --budget flop                    all spend the FLOP of dense training
  tithe compare mnist --budget 60s --inferences 1e9    all train for a minute
  tithe compare --resume --out runs/cmp                go on after an interruption

\b
A comparison is a folder: its plan, and a folder of tithe train for each run. The same command again goes on where it
was stopped and repeats no run; other --inferences, --cost, --report or prices need no new run.
Exit status: 0 done, 2 bad input, 130 Ctrl-C, 143 SIGTERM.
"""


@click.command("compare", epilog=EXAMPLES, short_help="Train with several methods and seeds; which one pays?")
@click.argument("data", required=False)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where the data set's official files are, or go.")
@click.option("--download", is_flag=True, help="Fetch the official files that are missing; checksums are verified.")
@click.option("--model", help="A network as in tithe train.  [default: the data set's]")
@click.option("--methods", multiple=True, metavar="A,B,...", help="What is compared; see below.")
@click.option("--density", "densities", multiple=True, metavar="D,...", help="One or more.  [default: 0.05]")
@click.option("--seeds", type=int, help="How many runs of each: seeds 0, 1, ...  [default: 3]")
@click.option(
    "--budget",
    multiple=True,
    help="What all get the same of: 20epochs, 2e12FLOP, 90s, or flop for as many as dense training takes. FLOP and "
    "seconds become whole epochs by short pilot runs.  [default: the recipe's epochs]",
)
@click.option(
    "--epochs", type=int, help="The same as --budget with so many epochs; with --budget flop, of dense training."
)
@click.option("--batch-size", type=int, help="Examples a step.")
@click.option("--lr", type=float, help="Learning rate at the start, of all methods.")
@click.option("--weight-decay", type=float, help="L2 penalty.  [default: 0.0005]")
@click.option("--augment", help="none, or crop-flip for random crops and mirror images.")
@click.option("--bf16", is_flag=True, default=None, help="Activations in bfloat16.")
@click.option("--inferences", type=float, default=1e6, show_default=True, help="Uses of the network in the total cost.")
@click.option("--cost", default="usd", show_default=True, help=f"What total cost is: {', '.join(COSTS)}.")
@click.option("--threads", type=int, help="CPU threads of each run.  [default: torch's choice]")
@click.option(
    "--processes",
    type=int,
    default=1,
    show_default=True,
    help="Runs at a time. With more than one they slow each other down: times are then no longer those of a run alone.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=DEFAULT_OUT, show_default=True, help="Folder of it all."
)
@click.option("--resume", is_flag=True, help="Go on with the comparison in --out; its options need not be repeated.")
@click.option("--report", type=click.Path(path_type=Path), help="Write one HTML file about it, too.")
@click.option("--ledger/--no-ledger", default=True, help="Record the runs in your ledger.  [default: record]")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout, nothing else.")
@rates_options
def command(
    data: str | None,
    data_dir: Path | None,
    download: bool,
    methods: tuple[str, ...],
    densities: tuple[str, ...],
    seeds: int | None,
    budget: tuple[str, ...],
    epochs: int | None,
    inferences: float,
    cost: str,
    processes: int,
    out: Path,
    resume: bool,
    report: Path | None,
    ledger: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Which tactic really lowers the total cost, of training and of use?

    DATA is what tithe train takes. Every method is trained at every density with the same seeds, data and budget; the
    table has mean errors with their 95 % intervals, what training and use took, and the total for so many inferences.
    """
    import torch  # noqa: F401  # before tithe's kernels: both must use torch's OpenMP

    from tithe.cli.compare_progress import watching
    from tithe.cli.interrupt import explained
    from tithe.compare.asked import Asked, names
    from tithe.compare.plan import PLAN
    from tithe.compare.run import run

    if cost not in COSTS:
        raise UsageError(f"--cost {cost} is not known: choose one of {', '.join(COSTS)}.")
    if report is not None:
        check_file(report, "--report")
    asked = Asked(
        out=out,
        resume=resume,
        data=data,
        data_dir=data_dir,
        download=download,
        methods=names(methods),
        densities=numbers(names(densities)),
        seeds=seeds,
        budget=budget,
        epochs=epochs,
        rates=rates_given(options),
        options=options,
        inferences=inferences,
        cost=cost,
        processes=processes,
        ledger=ledger,
    )
    with explained(out, "compare", PLAN, "every finished run and epoch is"), watching() as watch:
        result = run(asked, watch, watch.download)
    _write_report(result, report)
    if as_json:
        click.echo(json.dumps(result, indent=1))
    else:
        _show(result, out, report)


def numbers(texts: tuple[str, ...]) -> tuple[float, ...]:
    """The words of --density as numbers.

    Raises:
        UsageError: one is no number.
    """
    try:
        return tuple(float(text) for text in texts)
    except ValueError as error:
        raise UsageError(
            f"--density {','.join(texts)} is not understood: give numbers above 0 and at most 1, such as 0.02,0.05."
        ) from error


def _write_report(result: dict[str, Any], path: Path | None) -> None:
    if path is not None:
        from tithe.report import comparison

        comparison.write(result, path)


def _show(result: dict[str, Any], out: Path, report: Path | None) -> None:
    from rich.console import Console

    from tithe.report.compared import tables, wrapped

    console = Console()
    for table in tables(result):
        console.print(table, "")
    for sentence in result["says"]:
        click.echo(wrapped(result, sentence, console.width))
    also = f", and {report}" if report else "; --report FILE writes a page with pictures"
    click.echo(f"\nIn {out}/: result.json with every figure, runs/ with each run{also}")
