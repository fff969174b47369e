"""`tithe forecast`: what a smaller error would cost, from finished runs."""

import json
from pathlib import Path
from typing import Any

import click

from tithe.cli.paths import check_file
from tithe.cli.rates import rates_given, rates_options
from tithe.errors import UsageError

IMAGENET = "imagenet"
IMAGENET_DEVICE = "a100-40gb"
_COLUMNS = {  # axis -> how a column may be called where --compute names none
    "compute": ("compute", "flop", "flops", "training_flop"),
    "data": ("labels", "examples", "n_train"),
    "parameters": ("parameters", "params", "nnz"),
}

EXAMPLES = """\b
Examples:
  tithe forecast                                           the runs of the ledger: what half their error would take
  tithe forecast --runs "data=mnist half=sparse" --target 0.01 --plot forecast.png
  tithe forecast results.csv --compute flops --error top1_error --percent --target 0.05
  tithe forecast results.csv --axis data --compute labels --error error      how many labels until the target
  tithe forecast results.csv --compute flops --error error --group family    a forecast a family
  tithe forecast imagenet                                  the published record: what 5 % error would take
  tithe forecast tithe-run                                 a run in progress: its error at the end

\b
Errors are fractions, FLOP are FLOP: 2 a multiply-add. Curves without and with a floor are weighed by how well they
extrapolate; intervals come from a bootstrap. Everything beyond the runs is modelled, and the verdict says how far it
may be trusted: forecast, scenario, floor not identified, out of reach, too few runs.
Exit status: 0 done, 2 bad input.
"""


@click.command("forecast", epilog=EXAMPLES, short_help="What a smaller error would cost.")
@click.argument("source", required=False, metavar="[FILE.csv|imagenet|FOLDER]")
@click.option(
    "--runs", "filters", multiple=True, metavar="FILTER", help="Runs of the ledger, as tithe runs lists them."
)
@click.option("--compute", metavar="COL", help="Column of the sizes.  [default: compute, flop ...]")
@click.option("--error", metavar="COL", help="Column of the errors.  [default: error]")
@click.option(
    "--group", metavar="COL", help="A forecast for each value of this column, or of this field of the ledger."
)
@click.option("--year", metavar="COL", help="Column of the years: adds the exponent at a given year.")
@click.option(
    "--target", type=float, help="Error to price, a fraction: 0.05.  [default: half of the curve's at its end]"
)
@click.option("--halve", is_flag=True, help="Price half of today's error: the default, said aloud.")
@click.option(
    "--axis",
    type=click.Choice(["compute", "data", "parameters"]),
    default="compute",
    show_default=True,
    help="What grows: compute in FLOP, data in labels, or parameters.",
)
@click.option("--unit", help="Unit of the sizes in a file, if not FLOP; only FLOP are priced.")
@click.option("--frontier", is_flag=True, help="The best achievable (a tenth of the runs below), not the typical run.")
@click.option("--percent", is_flag=True, help="Errors in the file are percentages.")
@click.option("--skip-missing", is_flag=True, help="Leave out lines without a number.")
@click.option("--burden", is_flag=True, help="With imagenet: hardware burden instead of network operations.")
@click.option("--on", "hardware", help="Device to price: a name of the table.  [default: this machine; imagenet: A100]")
@click.option("--workers", type=int, default=1, show_default=True, help="How many of them.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw into this .png, .svg or .pdf.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, nothing else.")
@rates_options
def command(source: str | None, plot: Path | None, as_json: bool, **options: Any) -> None:
    """Forecast the error of larger runs, and price a smaller error, from finished runs.

    Runs come from a CSV file with a line a run, from the ledger (--runs), or from the published record of ImageNet.
    A folder of tithe train is a run in progress: what the rest of it will bring.
    """
    from tithe.cli.forecast_progress import watching

    _check_together(source, options)
    if plot:
        from tithe.report.drawing import check_name

        check_name(plot)
        check_file(plot, "--plot")
    if source and (Path(source) / "run.json").exists():
        _rest(Path(source), as_json)
        return
    table = _table(source, options)
    with watching() as watch:
        found = _forecasts(table, source, options, watch)
    _draw(found, plot)
    content = _content(found, table, source)
    if as_json:
        click.echo(json.dumps(content, indent=1))
    else:
        _show(found, table, source)
        if plot:
            click.echo(f"Picture: {', '.join(str(path) for path in _paths(plot, found))}")


def _check_together(source: str | None, options: dict[str, Any]) -> None:
    """Options that contradict each other, or mean nothing with this source."""
    if options["halve"] and options["target"] is not None:
        raise UsageError(f"--halve and --target {options['target']:g} were both given; choose one.")
    if source and options["filters"]:
        raise UsageError(f"{source} and --runs were both given: runs come from a file or from the ledger, choose one.")
    if options["burden"] and source != IMAGENET:
        raise UsageError("--burden is for tithe forecast imagenet; name the column of your own runs with --compute.")
    named = [f"--{name}" for name in ("compute", "error", "year", "unit") if options[name]]
    if named and (source is None or source == IMAGENET):
        raise UsageError(f"{', '.join(named)} name columns of a CSV file; give the file, or leave them out.")
    if source == IMAGENET and (options["group"] or options["axis"] != "compute"):
        raise UsageError("the published record knows compute only and has no groups; leave out --axis and --group.")


def _table(source: str | None, options: dict[str, Any]) -> Any:
    """The runs that were asked for."""
    if source == IMAGENET:
        from tithe.forecast import published

        return published.table(published.BURDEN if options["burden"] else published.OPERATIONS)
    if source is None:
        from tithe.cost import ledger
        from tithe.forecast import from_ledger

        where = ledger.path()
        if where is None:
            raise UsageError(f"the ledger is switched off; unset {ledger.ENVIRONMENT}, or give a CSV file.")
        words = [word for given in options["filters"] for word in given.split()]
        return from_ledger.read(where, words, options["axis"], options["group"])
    return _file(Path(source), options)


def _file(path: Path, options: dict[str, Any]) -> Any:
    from tithe.forecast.read import columns, read

    names = columns(path)
    usual = [name for name in names if name.lower() in _COLUMNS[options["axis"]]]
    compute = options["compute"] or (usual[0] if usual else _COLUMNS[options["axis"]][0])
    return read(path, compute, options["error"] or "error", options["group"], options["year"], options["skip_missing"])


def _forecasts(table: Any, source: str | None, options: dict[str, Any], watch: Any) -> dict[str, Any]:
    """Group -> its forecast, or the sentence that says why there is none. Without groups the only one is ""."""
    from tithe.forecast import fit, published

    groups, found = table.groups(), {}
    rates = _rates(source, options)
    target = options["target"]
    if source == IMAGENET and target is None and not options["halve"]:
        target = published.TARGET
    for name, runs in groups.items():
        try:
            found[name] = fit(
                runs.compute,
                runs.error,
                target=target,
                axis=options["axis"],
                unit=options["unit"],
                frontier=options["frontier"],
                year=runs.year if options["year"] or source == IMAGENET else None,
                percent=options["percent"],
                rates=rates,
                where=runs.where,
                watch=watch,
            )
        except UsageError as problem:
            if len(groups) == 1:
                raise
            found[name] = str(problem)
    if all(isinstance(each, str) for each in found.values()):
        name, why = next(iter(found.items()))
        raise UsageError(f"none of the {len(found)} groups has a forecast; {name}: {why}")
    return found


def _rates(source: str | None, options: dict[str, Any]) -> Any:
    from tithe.cost import hardware
    from tithe.cost.rates import Rates

    given = rates_given(options)
    name = options["hardware"] or (IMAGENET_DEVICE if source == IMAGENET else hardware.THIS_MACHINE)
    device = hardware.find(name)
    dtype = "bfloat16" if "bfloat16" in device.peaks and source == IMAGENET else next(iter(device.peaks), "float32")
    return Rates.on(device, devices=options["workers"], dtype=dtype, **given)


def _content(found: dict[str, Any], table: Any, source: str | None) -> dict[str, Any]:
    """As JSON: the forecast itself, or one a group."""
    if list(found) == [""]:
        content = found[""].to_json() | {"left_out": table.left_out}
        if source == IMAGENET:
            from tithe.forecast import published

            content["record"] = published.record()
        return content
    groups = {name: {"refused": one} if isinstance(one, str) else one.to_json() for name, one in found.items()}
    return {"groups": groups, "left_out": table.left_out}


def _show(found: dict[str, Any], table: Any, source: str | None) -> None:
    from rich.console import Console

    from tithe.report import forecast_table, published

    console = Console()
    if source == IMAGENET:
        console.print(published.record())
        for text in published.sentences():
            console.print(text, highlight=False)
        console.print()
    for name, forecast in found.items():
        if name:
            console.print(f"\n[bold]{name}[/bold]")
        if isinstance(forecast, str):
            console.print(f"No forecast: {forecast}", highlight=False)
            continue
        console.print(forecast_table.answer(forecast))
        console.print(forecast_table.forms(forecast))
        for text in forecast_table.sentences(forecast):
            console.print(text, highlight=False)
    if table.left_out and source != IMAGENET:
        console.print(f"{table.left_out} runs without an error or a size were left out.", highlight=False)


def _draw(found: dict[str, Any], plot: Path | None) -> None:
    if plot is None:
        return
    from tithe.report.forecast import draw

    drawn = [one for one in found.values() if not isinstance(one, str)]
    for forecast, path in zip(drawn, _paths(plot, found), strict=True):
        draw(forecast, path)


def _paths(plot: Path, found: dict[str, Any]) -> list[Path]:
    """A file a group: forecast.png becomes forecast-sparse.png."""
    names = [name for name, one in found.items() if not isinstance(one, str)]
    plain = ["".join(letter if letter.isalnum() or letter in "._" else "-" for letter in name) for name in names]
    return [plot.with_stem(f"{plot.stem}-{name}") if name else plot for name in plain]


def _rest(folder: Path, as_json: bool) -> None:
    """A run in progress."""
    from tithe import human
    from tithe.cost import ledger
    from tithe.forecast import rest

    where = ledger.path()
    past = ledger.read(where) if where else []
    found = [rest.rest(progress, past) for progress in rest.read(folder)]
    if as_json:
        click.echo(json.dumps({"halves": {each.progress.half: each.json() for each in found}}, indent=1))
        return
    for each in found:
        progress, error = each.progress, each.error
        epoch = len(progress.errors)
        done = f"{progress.half}: epoch {epoch} of {progress.epochs}, error {100 * progress.errors[-1]:.2f} %"
        if epoch == progress.epochs:
            click.echo(f"{done}; finished.")
            continue
        click.echo(
            f"{done}; at the end {100 * error.value:.2f} % ({100 * error.least:.2f} to {100 * error.most:.2f} %, "
            f"modelled from {error.source}), in {human.duration(each.seconds.value)}. {each.caveat}".rstrip()
        )
