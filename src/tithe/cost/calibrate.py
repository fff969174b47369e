"""A few real steps, timed: what a plan's seconds rest on where it may measure."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tithe.methods.sparse_momentum import SparseMomentum

Loss = Callable[[Any, Any], Tensor]
LEAST_STEPS, MOST_STEPS = 3, 300
LEAST_SECONDS, MOST_SECONDS = 0.15, 5.0  # for each kind of step
SHARE = 0.01  # of the whole training


@dataclass(frozen=True)
class StepTimes:
    """Seconds of each measured step, batches included."""

    plain: tuple[float, ...]
    scouting: tuple[float, ...] = ()
    rewiring: float = 0.0  # what a rewiring adds to its step

    @property
    def step(self) -> float:
        """A plain step, the median."""
        return statistics.median(self.plain)

    @property
    def scouting_step(self) -> float:
        """A step with scouting, the median."""
        return statistics.median(self.scouting or self.plain)

    def seconds(self, plain: float, scouting: float, rewirings: int) -> tuple[float, float, float]:
        """Of so many steps and rewirings: by the medians; by the faster and by the slower quarter of the steps."""
        low, high = (
            plain * _quantile(self.plain, q) + scouting * _quantile(self.scouting or self.plain, q)
            for q in (0.25, 0.75)
        )
        middle = plain * self.step + scouting * self.scouting_step
        more = rewirings * self.rewiring
        return middle + more, min(low, middle) + more, max(high, middle) + more


def step_times(
    make: Callable[[], tuple[nn.Module, Optimizer]],
    batches: Iterator[tuple[Tensor, Any]],
    loss: Loss,
    *,
    scouting: bool,
    total_steps: int,
    bf16: bool = False,
) -> StepTimes:
    """Train a network of its own for a few steps; random numbers that others draw are left as they are.

    Args:
        make: the model, sparse already where it is to be, and its optimizer.
        batches: endless; what it takes to make one counts.
        loss: of outputs and targets.
        scouting: whether to measure steps with scouting and a rewiring too.
        total_steps: of the whole training: measuring takes about a hundredth of it, but 0.15 to 5 s a kind of step.
        bf16: whether the passes run under torch.autocast("cpu", torch.bfloat16).
    """
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the training itself will say what there is to say
        model, optimizer = make()
        model.train()
        step = _Stepper(model, optimizer, batches, loss, bf16)
        step()  # what is done once: optimizer state, memory, kernels chosen
        count = _count(min(step(), step()), total_steps)
        if not scouting:
            return StepTimes(tuple(step() for _ in range(count)))
        step.method = SparseMomentum(model, optimizer, every=2 * count, total_steps=4 * count, scout_steps=count)
        plain = tuple(step() for _ in range(count))
        scouted = [step() for _ in range(count)]
        usual = statistics.median(scouted[:-1])
        return StepTimes(plain, tuple(scouted[:-1]), max(0.0, scouted[-1] - usual))


class _Stepper:
    """One training step a call, as `tithe train` does it; answers with its seconds."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        batches: Iterator[tuple[Tensor, Any]],
        loss: Loss,
        bf16: bool,
    ) -> None:
        self.model, self.optimizer, self.batches, self.loss, self.bf16 = model, optimizer, batches, loss, bf16
        self.method: SparseMomentum | None = None

    def __call__(self) -> float:
        start = time.perf_counter()
        x, y = next(self.batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            outputs = self.model(x)
        loss = self.loss(outputs, y)
        loss.item()
        loss.backward()
        self.optimizer.step()
        if self.method is not None:
            self.method.step()
        self.optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - start


def _count(step: float, total_steps: int) -> int:
    """How many steps of that many seconds to measure."""
    seconds = min(max(SHARE * step * total_steps, LEAST_SECONDS), MOST_SECONDS)
    return min(max(round(seconds / step), LEAST_STEPS), MOST_STEPS)


def _quantile(values: tuple[float, ...], q: float) -> float:
    ordered = sorted(values)
    return ordered[round(q * (len(ordered) - 1))]
