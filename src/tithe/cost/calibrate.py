"""A few real steps, timed: what a plan's seconds rest on where it may measure."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

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
        """A plain step, the mean: interruptions count, as they will in the training."""
        return statistics.fmean(self.plain)

    @property
    def scouting_step(self) -> float:
        """A step with scouting, the mean."""
        return statistics.fmean(self.scouting or self.plain)

    def seconds(self, plain: float, scouting: float, rewirings: int) -> tuple[float, float, float]:
        """Of so many steps and rewirings: by the means; by the faster and by the slower quarter of the steps."""
        low, high = (
            plain * _quantile(self.plain, q) + scouting * _quantile(self.scouting or self.plain, q)
            for q in (0.25, 0.75)
        )
        middle = plain * self.step + scouting * self.scouting_step
        more = rewirings * self.rewiring
        return middle + more, min(low, middle) + more, max(high, middle) + more


class Stepper(Protocol):
    """A training that can be asked for one step after the other."""

    def step(self) -> None:
        """One whole training step, its batch included."""
        ...

    def rewire(self, every: int, scout_steps: int) -> None:
        """From here on rewire every `every` steps, after `scout_steps` with dense gradients."""
        ...


def step_times(make: Callable[[], Stepper], *, scouting: bool, total_steps: int) -> StepTimes:
    """Time a few steps of a training of its own; random numbers that others draw are left as they are.

    Args:
        make: begins the training.
        scouting: whether to measure steps with scouting and a rewiring too.
        total_steps: of the whole training: measuring takes about a hundredth of it, but 0.15 to 5 s a kind of step.
    """
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the training itself will say what there is to say
        training = make()
        _timed(training)  # what is done once: optimizer state, memory, kernels chosen
        count = _count(min(_timed(training), _timed(training)), total_steps)
        if not scouting:
            return StepTimes(tuple(_timed(training) for _ in range(count)))
        training.rewire(2 * count, count)
        plain = tuple(_timed(training) for _ in range(count))
        scouted = [_timed(training) for _ in range(count)]
        usual = statistics.median(scouted[:-1])
        return StepTimes(plain, tuple(scouted[:-1]), max(0.0, scouted[-1] - usual))


class Loop:
    """The training loop that users write."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        batches: Iterator[tuple[Tensor, Any]],
        loss: Loss,
        bf16: bool = False,
    ) -> None:
        self.model, self.optimizer, self.batches, self.loss, self.bf16 = model.train(), optimizer, batches, loss, bf16
        self.method: SparseMomentum | None = None

    def rewire(self, every: int, scout_steps: int) -> None:
        """By sparse momentum."""
        how: Any = {"every": every, "total_steps": 2 * every, "scout_steps": scout_steps}
        self.method = SparseMomentum(self.model, self.optimizer, **how)

    def step(self) -> None:
        """Forward, loss, backward, optimizer, method."""
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


def _timed(training: Stepper) -> float:
    start = time.perf_counter()
    training.step()
    return time.perf_counter() - start


def _count(step: float, total_steps: int) -> int:
    """How many steps of that many seconds to measure."""
    seconds = min(max(SHARE * step * total_steps, LEAST_SECONDS), MOST_SECONDS)
    return min(max(round(seconds / step), LEAST_STEPS), MOST_STEPS)


def _quantile(values: tuple[float, ...], q: float) -> float:
    ordered = sorted(values)
    return ordered[round(q * (len(ordered) - 1))]
