"""`tithe study`: a published claim, measured again."""

import json
import shlex
from pathlib import Path
from typing import Any

import click

from tithe.errors import UsageError
from tithe.studies.registry import STUDIES, find, lines

DEFAULT_OUT = Path("tithe-study")
KEPT = "what was measured is kept, the same command goes on."

EXAMPLES = f"""\b
Studies:
{lines()}

\b
Examples:
  tithe study theory
  tithe study theory --quick --json
  tithe study sparse-momentum --data-dir data/mnist --density 0.05 --methods sparse-momentum,set,dense --processes 2
  tithe study expert-or-flexible --data madelon.npz --data ALLAML.mat
  tithe study new-test-set --data digits --data mnist --data-dir ~/data --published timm/results

\b
A study is a folder: study.json with every figure, a CSV file for each table, pictures. The same command again goes on
where it was stopped. A verdict is a test on measured numbers: holds, does not hold, or not decided where their
intervals leave it open; all three are results, so the exit status is 0. 2 bad input, 130 Ctrl-C, 143 SIGTERM.
"""


@click.command("study", epilog=EXAMPLES, short_help="Measure a published claim again: does it hold?")
@click.argument("name", metavar="NAME")
@click.option("--out", type=click.Path(path_type=Path), help=f"Folder of it all.  [default: {DEFAULT_OUT}/NAME]")
@click.option("--quick", is_flag=True, help="A small version that takes seconds; it decides little.")
@click.option("--seeds", type=int, help="How many times each measurement is repeated.  [default: the study's]")
@click.option("--data", multiple=True, help="A data set that the study is also to look at; several times for several.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where official files of data sets are, or go.")
@click.option("--download", is_flag=True, help="Fetch the official files that are missing; checksums are verified.")
@click.option(
    "--published", type=click.Path(path_type=Path), help="Folder with the published tables to work out again."
)
@click.option("--model", multiple=True, metavar="A,B,...", help="Networks as in tithe train.  [default: the study's]")
@click.option("--methods", multiple=True, metavar="A,B,...", help="Methods as in tithe compare.")
@click.option("--density", multiple=True, metavar="D,...", help="Densities as in tithe compare.")
@click.option("--epochs", type=int, help="Of each training.")
@click.option("--batch-size", type=int, help="Examples a step.  [default: the data set's]")
@click.option("--lr", type=float, help="Learning rate at the start, of all methods.  [default: the data set's]")
@click.option("--augment", help="none, or crop-flip for random crops and mirror images.")
@click.option("--inferences", type=float, help="Uses of the network in the total cost.")
@click.option("--processes", type=int, help="Trainings at a time; times are then no longer those of one alone.")
@click.option("--threads", type=int, help="CPU threads of each training.")
@click.option("--json", "as_json", is_flag=True, help="Print study.json on stdout, nothing else.")
def command(name: str, out: Path | None, quick: bool, as_json: bool, **options: Any) -> None:
    """Measure a published claim again, and say whether it holds.

    Writes a table and a picture, and prints the numbers with their intervals.
    """
    _check_options(name, options)
    import torch  # noqa: F401  # before tithe's kernels: both must use torch's OpenMP

    from tithe.cli.compare import numbers
    from tithe.cli.compare_progress import watching
    from tithe.cli.interrupt import stopping
    from tithe.compare.asked import names
    from tithe.studies.run import run
    from tithe.studies.study import Asked

    lists = {option: names(options[option]) for option in ("model", "methods", "density")}
    options |= lists | {"density": numbers(lists["density"])}
    asked = Asked(name, out or DEFAULT_OUT / name, quick, **options)
    with stopping(lambda: KEPT), watching() as watch:
        content = run(asked, watch)
    if as_json:
        click.echo(json.dumps(content, indent=1))
    else:
        _show(content, asked.out)


def _check_options(name: str, options: dict[str, Any]) -> None:
    """Options that mean nothing to this study are refused, not ignored."""
    takes = find(name).takes
    for option, value in options.items():
        if value not in (None, False, ()) and option not in takes:
            fit = [f"--{each.replace('_', '-')}" for each in takes]
            others = [other for other, entry in STUDIES.items() if option in entry.takes]
            raise UsageError(
                f"study {name} has no --{option.replace('_', '-')}; it has {', '.join(fit) or 'nothing to choose'}"
                f"{'. It is for ' + ', '.join(others) if others else ''}; leave it out."
            )


def _show(content: dict[str, Any], out: Path) -> None:
    from rich.console import Console

    from tithe.report.study import table, verdicts

    console = Console()
    console.print(table(content))
    for paragraph in verdicts(content):
        console.print(paragraph, highlight=False)
    tables = ", ".join(f"{name}.csv" for name in content["tables"])
    click.echo(
        f"\nIn {shlex.quote(str(out))}/: study.json with every figure, {', '.join([tables, *content['pictures']])}"
    )
