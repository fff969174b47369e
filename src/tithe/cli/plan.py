"""`tithe plan`: what a training will take, before it is begun."""

import json
from typing import Any

import click

from tithe.cli.rates import rates_given, rates_options
from tithe.errors import UsageError

EXAMPLES = """\b
Examples:
  tithe plan                                             handwritten digits, as tithe train has them
  tithe plan mnist --density 0.02 --calibrate            seconds from a few measured steps
  tithe plan cifar10 --model wrn-16-8 --epochs 250 --device-memory 2GB
  tithe plan imagenet --model resnet50 --batch-size 64 --epochs 90 --workers 8 --on a100-40gb --country DEU
  tithe plan 3x64x64:200:100000 --model mypackage.nets:make      shape:classes:examples of data that are not there yet

\b
Nothing is allocated and nothing trained: the steps are rehearsed on tensors without memory; only --calibrate
trains, a few steps. FLOP and the sizes of tensors are counted, all else is modelled and says so.
Exit status: 0 done, 2 bad input.
"""


@click.command("plan", epilog=EXAMPLES, short_help="What a training will take, before it is begun.")
@click.argument("data", required=False)
@click.option("--data", "named", help="The same as DATA.")
@click.option("--model", help="A network as in tithe train.  [default: the data set's]")
@click.option("--density", type=float, help="Fraction of the weights that exist.  [default: 0.05]")
@click.option("--budget", help="How layers share the weights: erk or uniform.  [default: the method's]")
@click.option("--batch-size", type=int, help="Examples a step, of each worker.")
@click.option("--epochs", type=int, help="Passes over the training set.")
@click.option("--rewire-every", type=int, help="Steps between rewirings.  [default: the method's]")
@click.option("--scout-steps", type=int, help="Steps with dense gradients before a rewiring.  [default: the method's]")
@click.option("--redistribute/--no-redistribute", default=None, help="Whether rewiring moves weights between layers.")
@click.option("--bf16", is_flag=True, default=None, help="Activations in bfloat16.")
@click.option("--optimizer", help="sgd (momentum 0.9), adam, adamw, rmsprop or adagrad.  [default: sgd]")
@click.option("--workers", type=int, default=1, show_default=True, help="Devices that share each epoch.")
@click.option("--on", "hardware", help="A device of the table, such as h100-sxm.  [default: this machine's processor]")
@click.option("--device-memory", metavar="SIZE", help="What one device has, such as 24GB.  [default: the device's own]")
@click.option("--calibrate", is_flag=True, help="Measure a few steps on this machine; takes seconds.")
@click.option("--threads", type=int, help="CPU threads of --calibrate.  [default: torch's choice]")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as one JSON object on stdout, nothing else.")
@rates_options
def command(
    data: str | None,
    named: str | None,
    optimizer: str | None,
    workers: int,
    hardware: str | None,
    device_memory: str | None,
    calibrate: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """What a training will take, sparse beside dense: memory, FLOP, time, energy, CO2, money.

    DATA is what tithe train takes, or imagenet, or SHAPE:CLASSES:EXAMPLES. What is not given comes from the recipe of
    the data set. Also said: whether it fits into a memory, and at which density it would.
    """
    import torch

    from tithe.cost.plan import check_calibration, optimizer_called
    from tithe.cost.priced import priced
    from tithe.train import planning
    from tithe.train.data.sizes import sizes
    from tithe.train.defaults import complete

    rates = rates_given(options)
    if data and named and data != named:
        raise UsageError(f"data {data!r} and --data {named} were both given; give one of them.")
    if workers < 1:
        raise UsageError(f"--workers {workers} is not possible: give 1 or more.")
    if calibrate:
        check_calibration(hardware)
    found = sizes(data or named or "digits")
    recipe = complete(found.name, options).for_input(found.input_shape)
    make = optimizer_called(optimizer) if optimizer else None
    work = planning.work(recipe, found, make, workers)
    times = None
    if calibrate:
        if recipe.threads is not None:
            torch.set_num_threads(recipe.threads)
        times = planning.measured(recipe, planning.noise(recipe, found), work)
    plan = priced(work, hardware, times, workers=workers, device_memory=device_memory, rates=rates)
    if as_json:
        about = {"model": recipe.model, "data": found.name, "batch_size": recipe.batch_size, "epochs": recipe.epochs}
        click.echo(json.dumps(about | plan.json(), indent=1))
    else:
        _show(plan, recipe, found)


def _show(plan: Any, recipe: Any, found: Any) -> None:
    from rich.console import Console

    from tithe import human
    from tithe.report.plan import cost_table, memory_table

    console = Console()
    shape = "x".join(map(str, found.input_shape))
    click.echo(
        f"{recipe.model} on {found.name} ({found.examples:,} examples of {shape}), batch {recipe.batch_size}, "
        f"{recipe.epochs} epochs"
    )
    console.print(memory_table(plan))
    console.print(cost_table(plan))
    for line in (plan.says, _chip(plan, human.density)):
        console.print(line, highlight=False)
    if not plan.measured and plan.kernels:
        click.echo("--calibrate measures a few steps here: its seconds are much closer.")


def _chip(plan: Any, density: Any) -> str:
    """What would fit into an accelerator's own memory."""
    chip = plan.on_chip
    room = chip.memory.number()
    if chip.scouting:
        rest = f"densities up to {density(chip.density or 0)} do" if (chip.density or 0) < 1 else "every density does"
        return f"Sparse training fits in {room} on chip ({rest}); dense {'does too' if chip.dense else 'does not'}."
    if chip.density is not None:
        return f"In {room} on chip a density of {density(chip.density)} would fit."
    if chip.density_without_scouting is not None:
        return f"In {room} on chip {density(chip.density_without_scouting)} would fit, but only without scouting."
    return f"No density fits in {room} on chip."
