"""`tithe report`: runs in one HTML file, to read, to keep and to send."""

from pathlib import Path

import click

from tithe.cli.paths import check_file
from tithe.errors import UsageError

DEFAULT_OUT = Path("tithe-report.html")

EXAMPLES = """\b
Examples:
  tithe report tithe-run                         the run that tithe train wrote there
  tithe report 17                                one of the ledger; tithe runs lists them
  tithe report 17 21 runs/wrn --out nets.html    several side by side
  tithe report 17 --plot bill.png                its bill as a picture, too

\b
The file needs nothing else: no network, no script. Exit status: 0 done, 2 bad input.
"""


@click.command("report", epilog=EXAMPLES, short_help="Write one HTML file about one run or several.")
@click.argument("runs", nargs=-1, metavar="RUN...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=DEFAULT_OUT,
    show_default=True,
    help="The HTML file to write.",
)
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the bill's bar chart into this .png, .svg or .pdf.")
@click.option("--overwrite", is_flag=True, help="Replace files that are there already.")
def command(runs: tuple[str, ...], out: Path, plot: Path | None, overwrite: bool) -> None:
    """Write what runs reached and cost into one HTML file: error, bill, curves, configuration.

    RUN is an id of tithe runs (a run has both its halves in the report), the beginning of a run's long name, or the
    folder that tithe train wrote. Both halves of each run stand beside each other, and several runs too.
    """
    from tithe.report import page
    from tithe.report.gather import stories

    found = stories(runs)
    for path in (out, plot):
        if path is not None:
            _check_free(path, overwrite)
    if plot is not None:
        _draw(found, plot)
    page.write(found, out)
    size = out.stat().st_size / 1000
    picture = f" and {plot}" if plot is not None else ""
    click.echo(
        f"Wrote {out}{picture}: {len(found)} run{'s' if len(found) > 1 else ''}, {size:.0f} kB, no other file needed."
    )


def _draw(found: list, plot: Path) -> None:
    from tithe.report import bars, details, page

    title = f"The bill of {details.title(found[0])}" if len(found) == 1 else f"The bills of {len(found)} runs"
    if bars.save(page.bills(found), plot, title, "each quantity's bars share a scale") is None:
        raise UsageError(
            f"there is nothing to draw into {plot}: a bar chart needs two halves or runs with a bill; leave --plot out."
        )


def _check_free(path: Path, overwrite: bool) -> None:
    check_file(path)
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already; give --overwrite to replace it, or another name.")
