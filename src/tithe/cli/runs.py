"""`tithe runs`: what the ledger holds, and other people's runs into it."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import click

from tithe.errors import UsageError

DEFAULT_LIMIT = 30

EXAMPLES = """\b
Examples:
  tithe runs                                       the last 30
  tithe runs data=mnist "model~lenet*" "density<=0.1"   conditions: = != < <= > >= and ~ for a pattern
  tithe runs half=sparse --sort error --csv > runs.csv
  tithe runs id=17 --json                          one run with its recipe, bill and curve
  tithe runs import results.csv --column error="Top-1 error" --column flop=compute --percent

\b
The ledger is one SQLite file: TITHE_LEDGER, or ledger.sqlite in your data directory. Rows are only added.
Quote conditions with <, > or *, which the shell takes for itself. Exit status: 0 done, 2 bad input.
"""


class _Runs(click.Group):
    """A group whose first word may be left out: then it is `list`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group("runs", cls=_Runs, epilog=EXAMPLES, short_help="List, export and import runs of the ledger.")
def command() -> None:
    """The ledger: every run of tithe train, with what it was, what it reached and what it took.

    tithe runs [FIELD=VALUE]... lists runs; tithe runs list --help has the options.
    """


@command.command("list")
@click.argument("conditions", nargs=-1, metavar="[FIELD=VALUE]...")
@click.option(
    "--limit",
    type=int,
    help=f"How many at most, the newest (with --sort the first).  [default: {DEFAULT_LIMIT}; all with --csv, --json]",
)
@click.option("--sort", metavar="FIELD", help="Ascending by this field; unknown values come last.  [default: id]")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV on stdout, nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, nothing else: a list of runs.")
def listing(conditions: tuple[str, ...], limit: int | None, sort: str | None, as_csv: bool, as_json: bool) -> None:
    """List the runs for which all conditions hold."""
    from tithe.cost import ledger
    from tithe.cost.run import conditions as parsed

    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit} is not possible: give 1 or more.")
    if as_csv and as_json:
        raise UsageError("--csv and --json were both given; choose one.")
    wanted, where = parsed(conditions), _ledger()
    runs = _sorted(ledger.read(where, wanted), sort)
    limit = limit or (None if as_csv or as_json else DEFAULT_LIMIT)
    kept = runs if limit is None else runs[:limit] if sort else runs[-limit:]
    if as_json:
        click.echo(json.dumps([run.json() for run in kept], indent=1))
    elif as_csv:
        click.echo(_csv(kept), nl=False)
    else:
        _show(kept, len(runs), where)


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="FIELD=COLUMN",
    help="Which column holds a field, if it is not called so: error, accuracy, flop, parameters, data, model, year ...",
)
@click.option("--percent", is_flag=True, help="Errors and accuracies are in percent.")
@click.option("--data", help="The data set of all these runs, where no column says it.")
def importing(file: Path, columns: tuple[str, ...], percent: bool, data: str | None) -> None:
    """Take runs from a CSV file with a line a run. Lines that are there already are not taken twice."""
    import dataclasses

    from tithe.cost import csv_runs, ledger

    runs = csv_runs.read(file, dict(_pair(text) for text in columns), percent)
    if data is not None:
        runs = [dataclasses.replace(run, data=run.data or data) for run in runs]
    where = _ledger()
    new = ledger.add(where, runs)
    already = f", {len(runs) - new} were there already" if new < len(runs) else ""
    click.echo(f"{new} runs are new in {where}{already}.")


def _ledger() -> Path:
    from tithe.cost import ledger

    where = ledger.path()
    if where is None:
        raise UsageError(f"the ledger is switched off; unset {ledger.ENVIRONMENT}, or set it to a file.")
    return where


def _pair(text: str) -> tuple[str, str]:
    field, sign, column = text.partition("=")
    if not (field and sign and column):
        raise UsageError(f"--column {text} was given; write FIELD=COLUMN, such as error=top1.")
    return field.strip(), column.strip()


def _sorted(runs: list[Any], field: str | None) -> list[Any]:
    from tithe.cost import table
    from tithe.cost.run import COLUMNS

    if field is None:
        return runs
    if field not in (*COLUMNS, "id"):
        raise table.unknown("field", field, [*COLUMNS, "id"], "Give --sort FIELD.")
    known = [run for run in runs if getattr(run, field) is not None]
    return sorted(known, key=lambda run: getattr(run, field)) + [run for run in runs if getattr(run, field) is None]


def _csv(runs: list[Any]) -> str:
    from tithe.cost.run import COLUMNS

    names = ("id", *COLUMNS)
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([getattr(run, name) for name in names] for run in runs)
    return content.getvalue()


def _show(runs: list[Any], found: int, where: Path) -> None:
    from rich.console import Console

    from tithe.report.runs import CAPTION, runs_table

    if not runs:
        click.echo(f"No runs in {where} that fit." if where.exists() else f"No runs yet: {where} does not exist.")
        return
    console = Console()
    console.print(runs_table(runs, console))
    click.echo(CAPTION)
    left = f" of {found}; --limit shows more" if found > len(runs) else ""
    click.echo(f"{len(runs)} runs{left}, in {where}")
