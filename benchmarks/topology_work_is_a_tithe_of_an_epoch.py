"""Choosing which weights exist takes at most a tenth of an epoch: scouting and rewiring, in whole training on CIFAR-10.

WRN-16-2 at 5 % density, batch 128, SGD with Nesterov momentum 0.9 and weight decay 5e-4: one epoch of 390 steps, the
last 44 of them scouted, with one rewiring at its end. Topology work is

    the seconds inside `rewire.step()`, all calls  +  the sum over scouted steps of (step - median plain step).

A step is all but that call: drawing and normalising a batch (without augmentation, which would make the share
smaller), forward, loss, backward, optimizer. Before the epoch, for scale, a few steps of this network and of the dense
one in turns.

    python benchmarks/topology_work_is_a_tithe_of_an_epoch.py [--threads 1] [--bfloat16] [--quick]

The images come from an .npz file with x_train (uint8 [n, 32, 32, 3]), y_train, x_test and y_test.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import SGD

import tithe
from tithe.bench.measure import Turns, figures, measure
from tithe.train import models
from tithe.train.batches import normalisation
from tithe.train.data import Dataset, load
from tithe.train.files import write_json
from tithe.train.results import machine

RESULTS = Path(__file__).parent / "results" / f"{Path(__file__).stem}.json"
SHARED = Path(os.environ.get("TITHE_SHARED") or Path(__file__).resolve().parents[2] / "shared")
BATCH, EPOCHS, WANTED = 128, 250, 0.10
STEPS, QUICK_STEPS = 390, 27
SCOUTED = 44 / 390  # of an epoch
SECONDS_FOR_SCALE, SECONDS_BETWEEN_LINES = 20.0, 10.0


class Training:
    """A network and its optimizer, fed with the same batches in the same order as every other one."""

    def __init__(self, options: argparse.Namespace, data: Dataset, density: float | None, layout: str = "") -> None:
        torch.manual_seed(0)
        self.model = models.build(options.model, tuple(data.x_train.shape[1:]), data.classes)
        if density is not None:  # the kernel as in `tithe train`, where no clock decides
            tithe.sparsify(self.model, density, generator=torch.Generator().manual_seed(0), kernel="sparse")
        if layout == "channels_last":
            self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = SGD(self.model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
        self._bfloat16 = options.bfloat16 and density is not None
        self._layout = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        self._normalise = normalisation(data.x_train)
        self._batches = batches(data)

    def step(self) -> float:
        """One step, gradients left in place for a method; the loss."""
        raw, labels = next(self._batches)
        x = self._normalise(raw).contiguous(memory_format=self._layout)
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bfloat16):
            outputs = self.model(x)
        loss = cross_entropy(outputs.float(), labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()


def batches(data: Dataset) -> Iterator[tuple[Tensor, Tensor]]:
    """Raw batches, shuffled anew whenever all whole ones have been seen."""
    generator = torch.Generator().manual_seed(0)
    while True:
        order = torch.randperm(len(data.y_train), generator=generator)
        for chosen in order[: len(order) // BATCH * BATCH].view(-1, BATCH):
            yield data.x_train[chosen], data.y_train[chosen]


@dataclass
class Seconds:
    """Of each step of the epoch and of the call of `rewire.step()` after it."""

    plain: list[float] = field(default_factory=list)
    scouted: list[float] = field(default_factory=list)
    inside_plain: list[float] = field(default_factory=list)
    inside_scouted: list[float] = field(default_factory=list)  # the last one rewires
    epoch: float = 0.0

    def excess(self) -> float:
        """By how much scouted steps were longer than plain ones."""
        return sum(self.scouted) - len(self.scouted) * statistics.median(self.plain)

    def inside(self) -> float:
        """All of `rewire.step()`."""
        return sum(self.inside_plain) + sum(self.inside_scouted)


def epoch(options: argparse.Namespace, data: Dataset) -> tuple[Seconds, dict[str, Any]]:
    """Train one; the seconds, and what else there is to say about it."""
    training, seconds, losses, held = Training(options, data, options.density), Seconds(), [], 0
    window = max(1, round(SCOUTED * options.steps))
    how = {"every": options.steps, "total_steps": EPOCHS * options.steps, "scout_steps": window}
    rewire = tithe.SparseMomentum(training.model, training.optimizer, **how)
    begin = said = time.perf_counter()
    for number in range(1, options.steps + 1):
        scouting, held = rewire.scouting, max(held, rewire.scout_bytes())
        start = time.perf_counter()
        losses.append(training.step())
        middle = time.perf_counter()
        rewire.step()
        end = time.perf_counter()
        (seconds.scouted if scouting else seconds.plain).append(middle - start)
        (seconds.inside_scouted if scouting else seconds.inside_plain).append(end - middle)
        if end - said > SECONDS_BETWEEN_LINES:
            said = end
            print(f"step {number} of {options.steps}: loss {losses[-1]:.2f}, {end - begin:.0f} s", file=sys.stderr)
    seconds.epoch = time.perf_counter() - begin
    (rewiring,) = rewire.history
    if rewiring.skipped is not None:
        raise SystemExit(f"the rewiring was skipped ({rewiring.skipped}), so there is nothing to report")
    last = losses[-max(1, options.steps // 20) :]
    facts = {
        "scout_bytes": held,
        "rewired_weights": rewiring.grown,
        "mean_loss_of_the_last_steps": statistics.mean(last),
    }
    return seconds, facts | {"weights": sum(layer.nnz for layer in rewire.layers.values())}


def scale(options: argparse.Namespace, data: Dataset) -> dict[str, Any]:
    """Milliseconds of a step of the sparse network and of the dense one in float32 and in both layouts, in turns."""
    networks = {
        "sparse": Training(options, data, options.density),
        "dense float32, contiguous": Training(options, data, None),
        "dense float32, channels_last": Training(options, data, None, "channels_last"),
    }
    turns = {name: Turns(network.step) for name, network in networks.items()}
    print("steps for scale, sparse and dense", file=sys.stderr)
    measure(turns, SECONDS_FOR_SCALE)
    return {name: asdict(figures(turn.times)) for name, turn in turns.items()}


def report(options: argparse.Namespace, data: Dataset) -> dict[str, Any]:
    """Measure; the raw results."""
    steps = scale(options, data)
    seconds, facts = epoch(options, data)
    topology = seconds.inside() + seconds.excess()
    return {
        "unit": "s, ms where the name says so, bytes, weights; shares are fractions",
        "known": "measured; steps, weights and bytes counted",
        "machine": machine(),
        "model": options.model,
        "density": options.density,
        "bfloat16": options.bfloat16,
        "batch": BATCH,
        "steps": options.steps,
        "scouted_steps": len(seconds.scouted),
        "epoch": seconds.epoch,
        "plain_steps_ms": asdict(figures([1e3 * s for s in seconds.plain])),
        "scouted_steps_ms": asdict(figures([1e3 * s for s in seconds.scouted])),
        "inside_the_method_in_scouted_steps_ms": asdict(figures([1e3 * s for s in seconds.inside_scouted])),
        "inside_the_method": seconds.inside(),
        "inside_the_method_when_it_rewires": seconds.inside_scouted[-1],
        "excess_of_scouted_steps": seconds.excess(),
        "topology_work": topology,
        "share": topology / seconds.epoch,
        "wanted_share": WANTED,
        **facts,
        "for_scale_ms": steps,
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """What was measured, for people."""
    threads = found["machine"]["threads"]
    stored = "bfloat16 autocast" if found["bfloat16"] else "float32"
    yield (
        f"{found['model']} at {found['density']:.0%} density, {stored}, batch {found['batch']}, "
        f"{threads} thread{'s' if threads > 1 else ''}, {found['machine']['processor']}"
    )
    yield f"epoch: {found['steps']} steps, {found['scouted_steps']} of them scouted, {found['epoch']:.1f} s (measured)"
    for name, key in (
        ("a plain step", "plain_steps_ms"),
        ("a scouted step", "scouted_steps_ms"),
        ("rewire.step() after it", "inside_the_method_in_scouted_steps_ms"),
    ):
        yield f"{name}: {spread(found[key])}"
    yield (
        f"last call, which rewires: {1e3 * found['inside_the_method_when_it_rewires']:.0f} ms (measured); it moved "
        f"{found['rewired_weights']:,} of {found['weights']:,} weights (counted)"
    )
    yield f"dense accumulators while scouting: {found['scout_bytes'] / 1e6:.2f} MB (counted)"
    for name, step in found["for_scale_ms"].items():
        yield f"a step for scale, {name}: {spread(step)}"
    yield (
        f"topology work: {found['inside_the_method']:.2f} s inside rewire.step() and "
        f"{found['excess_of_scouted_steps']:+.2f} s in the steps = {found['share']:.1%} of the epoch (measured)"
    )
    held = "held" if found["share"] <= found["wanted_share"] else "NOT held"
    whole = "" if found["steps"] == STEPS else f"; an epoch has {STEPS} steps, this was a try"
    yield f"wanted <= {found['wanted_share']:.0%}: {held}{whole}"


def spread(step: dict[str, Any]) -> str:
    """Median and middle half, which is wide where the machine had other work to do."""
    low, high = step["low_quartile_ms"], step["high_quartile_ms"]
    return f"{step['median_ms']:.0f} ms, median of {step['rounds']}, middle half {low:.0f} to {high:.0f} (measured)"


def main() -> None:
    """Parse the options, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "cifar-10" / "cifar10.npz", help="the images")
    parser.add_argument("--model", default="wrn-16-2", help="as in `tithe train`")
    parser.add_argument("--density", type=float, default=0.05, help="fraction of weights that exist")
    parser.add_argument(
        "--steps",
        type=int,
        help=f"of the epoch, a ninth of them scouted; {STEPS} by default, {QUICK_STEPS} with --quick",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bfloat16", action="store_true", help="the sparse network under bfloat16 autocast")
    parser.add_argument("--quick", action="store_true", help="to try it: few steps, and results only where --out says")
    parser.add_argument("--out", type=Path, help=f"raw results; {RESULTS.parent.name}/{RESULTS.name} by default")
    options = parser.parse_args()
    if not options.data.exists():
        print(f"skipped: there is no {options.data}; give such a file with --data", file=sys.stderr)
        return
    options.steps = options.steps or (QUICK_STEPS if options.quick else STEPS)
    torch.set_num_threads(options.threads)
    found = report(options, load(str(options.data)))
    print("\n".join(lines(found)))
    out = options.out or (None if options.quick else RESULTS)
    if out is not None:
        write_json(out, found)


if __name__ == "__main__":
    main()
