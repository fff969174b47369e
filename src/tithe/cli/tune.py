"""`tithe tune`: learning rate, drop fraction, widths and so on by Optuna, with the bill of the tuning itself."""

import json
from pathlib import Path
from typing import Any

import click

from tithe.cli.rates import rates_given, rates_options
from tithe.errors import UsageError

DEFAULT_OUT = Path("tithe-tune")
PICTURE = "tuning.png"

EXAMPLES = """\b
What can be tuned, and from where to where unless --range says so:
  lr            a tenth to ten times the recipe's
  rate          0.05 to 0.9, the fraction of weights dropped at the first rewiring
  weight-decay  0.000001 to 0.01
  density       a quarter to four times what --density says
  width         0.25 to 4 times the widths of mlp:... and wrn-D-K
  depth         hidden layers of mlp:..., or blocks in each group of wrn-D-K: 1 to a few more than now

\b
Examples:
  tithe tune                                           handwritten digits: lr, rate, weight decay
  tithe tune mnist --method rigl --density 0.02 --trials 30 --budget 20min
  tithe tune mnist --model mlp:300-100 --method dense --tune lr,width,depth
  tithe tune mnist --range lr=0.01:0.5 --range rate=0.1:0.5 --json
  tithe tune --resume --out tithe-tune --trials 40     go on, or go on for longer

\b
Trials are judged on a part of the training set, never on the test set. One that has spent as much as others, but has
not come as far, is stopped early. The same command again goes on where it was stopped and repeats nothing.
Exit status: 0 done, 1 every trial diverged, 2 bad input, 130 Ctrl-C, 143 SIGTERM.
"""


@click.command("tune", epilog=EXAMPLES, short_help="Find learning rate, widths and so on; what did finding them cost?")
@click.argument("data", required=False)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where the data set's official files are, or go.")
@click.option("--download", is_flag=True, help="Fetch the official files that are missing; checksums are verified.")
@click.option("--model", help="A network as in tithe train.  [default: the data set's]")
@click.option("--method", help="As in tithe train.  [default: sparse-momentum]")
@click.option("--density", type=float, help="Fraction of the weights that exist.  [default: 0.05]")
@click.option(
    "--tune", "names", multiple=True, metavar="A,B,...", help="What is tuned.  [default: lr,rate,weight-decay]"
)
@click.option("--range", "ranges", multiple=True, metavar="NAME=LOW:HIGH", help="From where to where; tunes it, too.")
@click.option("--trials", type=int, help="At most so many.  [default: 20]")
@click.option(
    "--budget",
    multiple=True,
    help="No trial begins once all together have taken so much: 2e12FLOP, 90s, 20min.  [default: none]",
)
@click.option(
    "--cost",
    help="What decides how far a trial has come: flop (counted, the same on any machine) or seconds (measured).  "
    "[default: the budget's, or flop]",
)
@click.option(
    "--validation", type=float, help="Fraction of the training set on which trials are judged.  [default: 0.1]"
)
@click.option("--epochs", type=int, help="Passes over the training set of a trial that is not stopped.")
@click.option("--batch-size", type=int, help="Examples a step.")
@click.option("--lr", type=float, help="Learning rate of the first trial; of all where it is not tuned.")
@click.option("--supar", metavar="BASE", help="Carry learning rates over from a base network, as in tithe train.")
@click.option("--weight-decay", type=float, help="L2 penalty of the first trial; of all where it is not tuned.")
@click.option("--augment", help="none, or crop-flip for random crops and mirror images.")
@click.option("--bf16", is_flag=True, default=None, help="Activations in bfloat16.")
@click.option("--rewire-every", type=int, help="Steps between rewirings.  [default: the method's]")
@click.option("--rate", type=float, help="Drop fraction of the first trial; of all where it is not tuned.")
@click.option("--seed", type=int, help="Of the networks, and of what is suggested.  [default: 0]")
@click.option("--threads", type=int, help="CPU threads.  [default: torch's choice]")
@click.option(
    "--out", type=click.Path(path_type=Path), default=DEFAULT_OUT, show_default=True, help="Folder of it all."
)
@click.option("--resume", is_flag=True, help="Go on with the tuning in --out; its options need not be repeated.")
@click.option("--ledger/--no-ledger", default=True, help="Record each trial in your ledger.  [default: record]")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout, nothing else.")
@rates_options
def command(
    data: str | None,
    data_dir: Path | None,
    download: bool,
    names: tuple[str, ...],
    ranges: tuple[str, ...],
    trials: int | None,
    budget: tuple[str, ...],
    cost: str | None,
    validation: float | None,
    out: Path,
    resume: bool,
    ledger: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Which learning rate, drop fraction, width? Trials by Optuna, and the bill of all of them.

    DATA is what tithe train takes. The best values are then trained with on the whole training set, and the error on
    the test set is reported, once.
    """
    import torch  # noqa: F401  # before tithe's kernels: both must use torch's OpenMP

    from tithe.cli.compare_progress import watching
    from tithe.cli.interrupt import explained
    from tithe.compare.asked import names as words
    from tithe.tune.run import Asked, run

    asked = Asked(
        out=out,
        resume=resume,
        data=data,
        data_dir=data_dir,
        download=download,
        names=words(names),
        ranges=dict(_range(text) for text in ranges),
        trials=trials,
        budget=_budget(budget),
        cost=cost,
        validation=validation,
        rates=rates_given(options),
        options=options,
        ledger=ledger,
    )
    with explained(out, "tune", "tune.json", "every finished trial and epoch is"), watching() as watch:
        result = run(asked, watch, watch.download)
    _draw(result, out / PICTURE)
    if as_json:
        click.echo(json.dumps(result, indent=1))
    else:
        _show(result, out)


def _range(text: str) -> tuple[str, tuple[float, float]]:
    name, _, between = text.partition("=")
    low, _, high = between.partition(":")
    try:
        return name.strip(), (float(low), float(high))
    except ValueError as error:
        raise UsageError(f"--range {text} is not understood: write NAME=LOW:HIGH, such as lr=0.01:0.5.") from error


def _budget(texts: tuple[str, ...]) -> tuple[str, float] | None:
    from tithe.compare.budget import parsed

    if not texts:
        return None
    found = parsed(texts, None)
    if found.amount is None:
        raise UsageError(f"--budget {texts[0]} does not say how much: write 2e12FLOP, 90s or 20min.")
    return found.kind, found.amount


def _draw(result: dict[str, Any], path: Path) -> None:
    from tithe.report.tuning import picture

    picture(result, path)


def _show(result: dict[str, Any], out: Path) -> None:
    from rich.console import Console

    from tithe.report.tuned import tables

    console = Console()
    for table in tables(result):
        console.print(table)
    for sentence in result["says"]:
        console.print(sentence, highlight=False)
    click.echo(
        f"\nIn {out}/: result.json with every figure, {PICTURE}, trials/ and best-{result['best']['number']:03}/"
    )
