"""`tithe train`: a network trained sparse beside the same network dense."""

import json
from pathlib import Path
from typing import Any

import click

from tithe.cli.rates import NAMES, rates_given, rates_options
from tithe.methods.registry import lines

DEFAULT_OUT = Path("tithe-run")

EXAMPLES = f"""\b
Methods:
{lines()}

\b
Examples:
  tithe train                                          handwritten digits, nothing to download
  tithe train mnist --download --density 0.02
  tithe train cifar10 --data-dir ~/data --model wrn-28-2 --density 0.1 --out runs/wrn
  tithe train photos.npz --model mlp:512-256 --compare none
  tithe train folder:photos --model mypackage.nets:make
  tithe train --resume --out runs/wrn                  go on after an interruption

\b
Exit status: 0 done, 1 the loss is no longer finite, 2 bad input, 130 Ctrl-C, 143 SIGTERM;
after the last two, --resume goes on from the last finished epoch with the same bits.
"""


class _Grouped(click.Command):
    """Shows the options under headings; `HEADINGS` says which go where."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        records = {option.name: option.get_help_record(ctx) for option in options}
        for heading, names in HEADINGS.items():
            with formatter.section(heading):
                formatter.write_dl([record for name in names if (record := records.pop(name)) is not None])
        with formatter.section("Other"):
            formatter.write_dl([record for record in records.values() if record is not None])


HEADINGS = {
    "Data": ("data_dir", "download", "validation"),
    "Network": ("model", "density", "budget", "method", "remove_dead"),
    "Training": (
        "epochs",
        "batch_size",
        "lr",
        "supar",
        "weight_decay",
        "augment",
        "bf16",
        "rewire_every",
        "scout_steps",
        "rate",
        "redistribute",
        "taper",
        "seed",
        "threads",
    ),
    "Run": ("out", "resume", "compare", "plan", "ledger", "as_json"),
    "Bill": tuple(NAMES),
}


@click.command(
    "train", cls=_Grouped, epilog=EXAMPLES, short_help="Train a network sparse, beside the same network dense."
)
@click.argument("data", required=False)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where the data set's official files are, or go.")
@click.option("--download", is_flag=True, help="Fetch the official files that are missing; checksums are verified.")
@click.option(
    "--validation",
    type=float,
    help="Hold out this fraction of the training set and report errors on it instead of on the test set.  [default: 0]",
)
@click.option(
    "--model",
    help="lenet-300-100, lenet-5, alexnet-s, alexnet-b, vgg-c, vgg-d, vgg-like, wrn-D-K, resnet18, resnet50, "
    "mlp:W1-W2-... or your own module.path:factory, called with input_shape and classes.",
)
@click.option("--density", type=float, help="Fraction of the weights that exist.  [default: 0.05]")
@click.option("--budget", help="How layers share the weights: erk or uniform.  [default: the method's]")
@click.option("--method", help="How the network becomes or stays sparse; see below.  [default: sparse-momentum]")
@click.option(
    "--remove-dead",
    is_flag=True,
    default=None,
    help="Once the topology stays, remove channels that no weight reads: smaller tensors, the same results. What "
    "writes them goes too, so fewer weights are left.",
)
@click.option("--epochs", type=int, help="Passes over the training set; the learning rate's drops scale with it.")
@click.option("--batch-size", type=int, help="Examples a step.")
@click.option("--lr", type=float, help="Learning rate at the start.")
@click.option(
    "--supar",
    metavar="BASE",
    help="Carry --lr over from the network it was tuned for, by SuPar: dense (this network, dense), MODEL or "
    "MODEL@DENSITY.  [default: use it as it is]",
)
@click.option("--weight-decay", type=float, help="L2 penalty.  [default: 0.0005]")
@click.option("--augment", help="none, or crop-flip for random crops and mirror images.")
@click.option(
    "--bf16",
    is_flag=True,
    default=None,
    help="Activations in bfloat16 under torch.autocast: half the memory for them, sparse layers faster. Dense layers "
    "get faster only on a processor with bfloat16 instructions; on others they can be 30 times slower.",
)
@click.option("--rewire-every", type=int, help="Steps between rewirings.  [default: the method's]")
@click.option("--scout-steps", type=int, help="Steps with dense gradients before a rewiring.  [default: the method's]")
@click.option(
    "--rate", type=float, help="Fraction of the weights dropped at the first rewiring.  [default: the method's]"
)
@click.option(
    "--redistribute/--no-redistribute",
    default=None,
    help="Whether rewiring moves weights between layers. In convolutional networks they move to early layers, where a "
    "weight takes more FLOP.  [default: the method's]",
)
@click.option(
    "--taper",
    type=float,
    help="Of small-dense: share of its channels that the last hidden layer keeps, over the first one's.  [default: 1]",
)
@click.option("--seed", type=int, help="Decides the weights, the topology and the order of examples.  [default: 0]")
@click.option("--threads", type=int, help="CPU threads.  [default: torch's choice]")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=DEFAULT_OUT,
    show_default=True,
    help="Folder for all that is written.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in --out; its options need not be repeated.")
@click.option("--compare", help="dense: train the same network dense too; none: only sparse.  [default: dense]")
@click.option(
    "--ledger/--no-ledger",
    default=True,
    help="Record the run in your ledger (see tithe runs); TITHE_LEDGER says where it is, or off.  [default: record]",
)
@click.option(
    "--plan/--no-plan",
    default=True,
    help="Plan the run first, from a few measured steps, and print predicted beside measured.  [default: plan]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object on stdout, nothing else.")
@rates_options
def command(
    data: str | None,
    data_dir: Path | None,
    download: bool,
    out: Path,
    resume: bool,
    ledger: bool,
    plan: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a network sparse from its first step to its last, beside the same network dense.

    DATA is digits (the default), mnist, fashion-mnist, cifar10, PATH.npz with x_train, y_train, x_test, y_test, or
    folder:PATH with a folder of images for each class. What is not given comes from the data set's recipe.
    """
    import torch  # noqa: F401  # before tithe's kernels: both must use torch's OpenMP

    from tithe.cli.compare_progress import watching as watching_several
    from tithe.cli.interrupt import explained
    from tithe.cli.progress import watching
    from tithe.train.run import Job, run
    from tithe.tune import search

    rates = rates_given(options)
    where: dict[str, Any] = {"data": data, "data_dir": data_dir, "download": download}
    job = Job(out=out, **where, resume=resume, recipe=options, rates=rates, ledger=ledger, plan=plan)
    if search.asked_for(job):
        with explained(out, begun=search.BEGUN), watching_several() as several:
            report = search.alone(job, several, several.download)
    else:
        with explained(out), watching() as watch:
            report = run(job, watch.training, watch.download)
    if as_json:
        click.echo(json.dumps(report, indent=1))
    else:
        _show(report, out)


def _show(report: dict[str, Any], out: Path) -> None:
    from rich.console import Console

    from tithe.report import bill_table, check_table, table

    console = Console()
    console.print(table(report))
    for more in (bill_table(report), check_table(report)):
        if more is not None:
            console.print(more)
    if found := report["sparse"].get("search"):
        click.echo(f"\nFound: {_found(found)}. What its {found['trials']} trials took is in time, FLOP and bill.")
    pictures = ", ".join(path.name for path in sorted(out.glob("*.png")))
    drawn = f", and pictures: {pictures}" if pictures else ""
    click.echo(f"\nIn {out}/: report.json with every figure{drawn}")


def _found(found: dict[str, Any]) -> str:
    """The network that a search has found, for people."""
    if "taper" not in found:
        return found["model"]
    return (
        f"{found['model']} with {found['density']:.3g} of its weights, dense, its last hidden layer with "
        f"{found['taper']:.3g} times the first one's share of channels (small-dense with --taper)"
    )
