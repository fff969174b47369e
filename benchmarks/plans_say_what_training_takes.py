"""A plan agrees with the training: FLOP exactly, memory within 10 %, seconds within 30 % on a quiet machine.

For every built-in model, dense and at 5 % density:

- FLOP: those of a plain and of a scouting step, planned beside what torch's counter sees in a real one.
- memory: the most bytes alive in a plain and in a scouting step, planned beside what torch's memory profiler sees its
  CPU allocator give out (every allocation and release, workspaces of operators included); for the sparse half also in
  the step that rewires.
- seconds: a training on noise, several epochs with rewirings, planned from a few measured steps beside the clock. This
  part means something on a quiet machine only.
- moves: FLOP of a sparse training on MNIST or CIFAR-10 in which rewiring moves weights between layers, planned beside
  counted. What was planned holds for every data set; what is counted shows how far it can be trusted.

    python benchmarks/plans_say_what_training_takes.py [--only flop memory seconds moves] [--models NAME ...]
        [--data-dir FOLDER]

Each part replaces its own section of the results, of the models that are given.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.flop_counter import FlopCounterMode

from tithe.cost.half import Rehearsed, rehearsed
from tithe.cost.plan import cross_entropy
from tithe.cost.priced import priced
from tithe.cost.rehearsal import rewiring_peak
from tithe.methods import SparseMomentum
from tithe.train import planning
from tithe.train.batches import epoch_batches, normalisation
from tithe.train.data import load
from tithe.train.data.sizes import Sizes
from tithe.train.files import write_json
from tithe.train.loop import Training
from tithe.train.network import dense_model, dense_network, optimizer_for, sparse_network
from tithe.train.recipe import Recipe
from tithe.train.results import machine

RESULTS = Path(__file__).parent / "results" / f"{Path(__file__).stem}.json"
MNIST, CIFAR = (1, 28, 28), (3, 32, 32)
MODELS: dict[str, tuple[tuple[int, ...], int]] = {  # name -> shape of an example, batch
    "lenet-300-100": (MNIST, 100),
    "lenet-5": (MNIST, 100),
    "mlp:1024-1024": (CIFAR, 100),
    "mlp:4096-4096": (CIFAR, 16),  # much more weights than activations
    "alexnet-s": (CIFAR, 64),
    "alexnet-b": (CIFAR, 64),
    "vgg-c": (CIFAR, 64),
    "vgg-d": (CIFAR, 64),
    "vgg-like": (CIFAR, 64),
    "wrn-16-2": (CIFAR, 64),
    "wrn-28-2": (CIFAR, 32),
    "wrn-16-8": (CIFAR, 16),
    "resnet18": (CIFAR, 32),
    "resnet50": ((3, 64, 64), 16),
}
DENSITY = 0.05
DATA = Path(os.environ.get("TITHE_SHARED") or Path(__file__).resolve().parents[2] / "shared") / "data"


def recipe_of(name: str, **more: Any) -> tuple[Recipe, Sizes]:
    """A recipe for noise, of which no training diverges."""
    shape, batch = MODELS[name]
    recipe = Recipe(model=name, density=DENSITY, batch_size=batch, lr=1e-3, **more)
    return recipe, Sizes("noise", shape, 10, 8 * batch)


def batch_of(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise and labels."""
    recipe, sizes = recipe_of(name)
    data = planning.noise(recipe, sizes)
    raw, labels = next(epoch_batches(data.x_train, data.y_train, recipe, 1))
    return normalisation(data.x_train)(raw), labels


class Real:
    """A real network that steps as `tithe train` does."""

    def __init__(self, name: str, density: float | None, scout: bool, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
        self.recipe, sizes = recipe_of(name)
        data = planning.noise(self.recipe, replace(sizes, examples=1))
        self.model = dense_model(self.recipe, data) if density is None else sparse_network(self.recipe, data).model
        self.optimizer = optimizer_for(self.recipe, self.model.parameters())
        every = 6 if scout else 1000
        self.method = None
        if density is not None:
            how: Any = {"every": every, "total_steps": 10 * every, "scout_steps": 2}
            self.method = SparseMomentum(self.model, self.optimizer, **how)
        self.x, self.y = batch

    def step(self) -> None:
        outputs = self.model(self.x)
        cross_entropy(outputs, self.y).backward()
        self.optimizer.step()
        if self.method is not None:
            self.method.step()
        self.optimizer.zero_grad(set_to_none=True)

    def flop(self) -> int:
        """FLOP of the next step."""
        with FlopCounterMode(display=False) as counter:
            self.step()
        return counter.get_total_flops()


def rehearsal(name: str, density: float | None) -> Rehearsed:
    """The plan's steps, scouting where the network is sparse."""
    recipe, sizes = recipe_of(name, epochs=9, rewire_every=30)
    return rehearsed(planning.work(recipe, sizes), density)


def cases(name: str) -> Iterator[tuple[str, float | None, bool]]:
    """What is compared of a model."""
    yield "dense", None, False
    yield "sparse", DENSITY, False
    yield "sparse, scouting", DENSITY, True


def compare_flop(name: str) -> Iterator[dict[str, Any]]:
    """Planned and counted FLOP of a step."""
    for what, density, scouting in cases(name):
        steps = rehearsal(name, density).steps
        planned = next(step.flop for kind, step in steps.items() if kind.scouting == scouting)
        real = Real(name, density, scouting, batch_of(name))
        for _ in range(4 if scouting else 1):
            real.step()
        yield row(name, what, planned, real.flop(), "FLOP")


def peaks(name: str, density: float | None, scout: bool, steps: int) -> list[int]:
    """Most bytes alive in each of the first steps. All is profiled from the beginning: of what is older the profiler
    does not see the end."""
    batch = batch_of(name)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=False) as profiler:
        real = Real(name, density, scout, batch)
        for _ in range(steps):
            with record_function("one step"):
                real.step()
    events = sorted(profiler.profiler.kineto_results.events(), key=lambda event: event.start_ns())
    starts = [event.start_ns() for event in events if event.name() == "one step"]
    alive, highest = sum(tensor.nbytes for tensor in batch), [0] * steps
    for event in events:
        if event.name() == "[memory]":
            alive += event.nbytes()
            step = sum(start <= event.start_ns() for start in starts) - 1
            if step >= 0:
                highest[step] = max(highest[step], alive)
    return highest


def compare_memory(name: str) -> Iterator[dict[str, Any]]:
    """Planned and measured peaks."""
    for what, density, scouting in cases(name):
        found = rehearsal(name, density)
        planned = next(step for kind, step in found.steps.items() if kind.scouting == scouting)
        if not scouting:
            yield row(name, what, planned.peak, peaks(name, density, scouting, 3)[-1], "B")
            continue
        *_, scouted, rewired = peaks(name, density, scouting, 6)  # the fifth and the sixth scout, the sixth rewires
        yield row(name, what, planned.peak, scouted, "B")
        rewiring = rewiring_peak(found.nnz, planned.end, planned.held.optimizer, planned.held.scouting)
        yield row(name, "sparse, rewiring", max(planned.peak, rewiring), rewired, "B")


def compare_seconds(name: str, train_seconds: float) -> Iterator[dict[str, Any]]:
    """Planned and measured seconds of a training."""
    for half in ("sparse", "dense"):
        recipe, sizes = recipe_of(name, epochs=4, rewire_every=None)
        probed = replace(recipe, scout_steps=8)
        probe = planning.measured(probed, planning.noise(recipe, sizes), planning.work(probed, sizes))
        step = (probe.sparse if half == "sparse" else probe.dense).step
        steps_an_epoch = min(max(round(train_seconds / 4 / step), 8), 600)
        recipe = replace(recipe, rewire_every=steps_an_epoch, scout_steps=max(steps_an_epoch // 5, 2))
        sizes = replace(sizes, examples=steps_an_epoch * recipe.batch_size)
        data = planning.noise(recipe, sizes)
        many = torch.arange(sizes.examples) % len(data.y_train)  # the noise again and again: enough for the clock
        data = replace(data, x_train=data.x_train[many], y_train=data.y_train[many])
        work = planning.work(recipe, sizes)
        plan = priced(work, times=planning.measured(recipe, data, work))
        planned = getattr(plan, half).seconds
        network = sparse_network(recipe, data) if half == "sparse" else dense_network(recipe, data)
        with tempfile.TemporaryDirectory() as folder:
            training = Training(half, network, data, recipe, Path(folder), {}, lambda tick: None)
            training.run()
        found = row(name, half, planned.value, training.seconds, "s")
        yield found | {"interval": [planned.least, planned.most], "steps": training.step}


MOVED = {  # name -> densities, learning rate
    "lenet-300-100": ((0.02, 0.05, 0.2), 0.1),
    "lenet-5": ((0.02, 0.05, 0.2), 0.1),
    "mlp:1024-1024": ((0.05,), 0.01),
    "alexnet-s": ((0.05, 0.1), 0.05),
    "vgg-c": ((0.05,), 0.05),
    "vgg-d": ((0.05,), 0.05),
    "vgg-like": ((0.03, 0.1), 0.05),
    "wrn-16-2": ((0.05, 0.2), 0.1),
    "wrn-28-2": ((0.1,), 0.1),
    "resnet18": ((0.05,), 0.1),
}
MOVE_EVERY, REWIRINGS = 60, 4


def compare_moves(name: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Planned and counted FLOP of a training on real data."""
    if name not in MOVED:
        return
    shape, batch = MODELS[name]
    data = load("mnist" if shape == MNIST else str(folder / "cifar-10" / "cifar10.npz"), folder / "mnist")
    examples = MOVE_EVERY * batch
    train = {"x_train": data.x_train[:examples], "y_train": data.y_train[:examples]}
    data = replace(data, **train, x_test=data.x_test[:1], y_test=data.y_test[:1])
    sizes = Sizes(data.name, shape, data.classes, examples)
    densities, lr = MOVED[name]
    for density in densities:
        times = {"epochs": REWIRINGS + 1, "rewire_every": MOVE_EVERY, "scout_steps": 20}
        recipe = Recipe(model=name, density=density, batch_size=batch, lr=lr, **times)
        work = planning.work(recipe, sizes)
        planned = priced(work, fits=False).sparse.flop
        unmoved = priced(replace(work, moves=None), fits=False).sparse.flop.value
        with tempfile.TemporaryDirectory() as out:
            training = Training("sparse", sparse_network(recipe, data), data, recipe, Path(out), {}, lambda tick: None)
            training.run()
        came = training.flop.total
        found = row(name, f"sparse, {density:.0%}", planned.value, came, "FLOP")
        change = (came - unmoved) / (planned.value - unmoved)
        print(f"{'':<36} {change:.2f} times the planned change")
        yield found | {
            "density": density,
            "interval": [planned.least, planned.most],
            "unmoved": unmoved,
            "change": change,
        }


def row(model: str, what: str, planned: float, came: float, unit: str) -> dict[str, Any]:
    """One comparison, printed."""
    print(
        f"{model:<16} {what:<18} planned {planned:>16,.6g} {unit:<5} came {came:>16,.6g}  ratio {came / planned:.4f}",
        flush=True,
    )
    return {"model": model, "what": what, "unit": unit, "planned": planned, "came": came, "ratio": came / planned}


def main() -> None:
    """Compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", choices=("flop", "memory", "seconds", "moves"), default=["flop", "memory", "seconds"]
    )
    parser.add_argument("--data-dir", type=Path, default=DATA, help="holds mnist/ and cifar-10/cifar10.npz")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--train-seconds", type=float, default=20)
    given = parser.parse_args()
    torch.set_num_threads(1)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in given.only:
        compare = {
            "flop": compare_flop,
            "memory": compare_memory,
            "seconds": lambda name: compare_seconds(name, given.train_seconds),
            "moves": lambda name: compare_moves(name, given.data_dir),
        }[part]
        rows = [row for row in results.get(part, {"rows": []})["rows"] if row["model"] not in given.models]
        for name in given.models:
            rows += compare(name)
        worst = max(abs(row["ratio"] - 1) for row in rows)
        print(f"{part}: at most {worst:.1%} away\n")
        results[part] = {"known": "measured", "furthest": worst, "machine": machine(), "rows": rows}
        write_json(RESULTS, results)


if __name__ == "__main__":
    main()
