"""What every method is to a training loop."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tithe.errors import UsageError


@dataclass(frozen=True)
class Rewiring:
    """What one rewiring did."""

    step: int
    rate: float  # fraction of each layer's weights that was to be dropped
    dropped: int  # weights, over all layers
    grown: int
    skipped: str | None = None  # why nothing was done, if so


class Method:
    """Counts steps and otherwise leaves the model alone; every method is a subclass.

    Call `prepare(loss)` once before training where `needs_loss`; `step()` once after each `optimizer.step()` and before
    `optimizer.zero_grad()`; and set the learning rate of step s to what your schedule has at `schedule_step(s)`.
    """

    temperature: ClassVar[float] = 1.0  # the scores in `prepare`'s loss are to be divided by it

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        if not isinstance(model, nn.Module) or isinstance(optimizer, nn.Module):
            kinds = f"a {type(model).__name__} and a {type(optimizer).__name__}"
            raise UsageError(f"{kinds} were given; give the model, then its optimizer")
        self.model, self.optimizer = model, optimizer
        self.history: list[Rewiring] = []
        self.steps = 0

    @property
    def scouting(self) -> bool:
        """Whether dense accumulators are alive now."""
        return False

    def scout_bytes(self) -> int:
        """Bytes of the dense accumulators that are alive now."""
        return 0

    def held_bytes(self) -> int:
        """Bytes of what the method itself keeps over many steps, e.g. weights to rewind to."""
        return 0

    @property
    def settled(self) -> bool:
        """Whether the topology will not change any more."""
        return True

    @property
    def needs_loss(self) -> bool:
        """Whether `prepare` has to be called."""
        return False

    def prepare(self, loss: Callable[[], Tensor]) -> None:
        """Look at one batch before the first step.

        Args:
            loss: runs the model on the batch; each call gives the same loss (a scalar) as a new graph.
        """

    def prepare_bytes(self) -> int:
        """Bytes of the dense gradients that `prepare` holds."""
        return 0

    def step(self) -> None:
        """Count an optimizer step and do what is due.

        Raises:
            UsageError: `prepare` has not been called and has to be.
        """
        if self.needs_loss:
            raise UsageError("call prepare(loss) once before the first step, with a function that gives a batch's loss")
        self.steps += 1

    def schedule_step(self, step: int) -> int:
        """Where in the learning rate's schedule `step` (from 1) is: methods that train in several goes repeat it."""
        return step

    def state_dict(self) -> dict[str, Any]:
        """Numbers, strings, lists, dicts and tensors only."""
        return {
            "method": type(self).__name__,
            "steps": self.steps,
            "history": [asdict(rewiring) for rewiring in self.history],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was saved; load the model's and the optimizer's state first.

        Where channels had been removed, `tithe.fit_channels` makes room in the model for its state.

        Raises:
            UsageError: the state is that of another method.
        """
        whose, ours = state.get("method"), type(self).__name__
        if whose not in (None, ours):  # None: as older versions saved it
            raise UsageError(f"the saved state is that of {whose}, and this is {ours}; make the method that was saved")
        self.steps = state["steps"]
        self.history = [Rewiring(**entry) for entry in state["history"]]

    def _buffers(self) -> dict[str, Tensor]:
        """The model's buffers by name, but for topologies."""
        return dict(self.model.named_buffers())


@contextlib.contextmanager
def unremembered(buffers: Mapping[str, Tensor]) -> Iterator[None]:
    """What the block does to these buffers, such as running statistics, is undone after it."""
    before = {name: buffer.clone() for name, buffer in buffers.items()}
    try:
        yield
    finally:
        for name, buffer in buffers.items():
            buffer.copy_(before[name])


def check_learning(name: str, weights: Tensor) -> None:
    """Raise UsageError where a layer is frozen: a method that changes which weights there are would destroy it."""
    if not weights.requires_grad:
        raise UsageError(
            f"layer {name!r} is frozen (requires_grad=False), and this method would change its weights all the same; "
            "leave it out: name it in keep_dense of tithe.sparsify, or train it, too"
        )


def dice(seed: int, step: int, layer: str) -> torch.Generator:
    """The generator of all random choices for one layer at one step; a process's rank plays no part in it."""
    digest = hashlib.sha256(f"{seed} {step} {layer}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def check_loss(loss: object) -> None:
    """Raise UsageError where `prepare` was given the loss itself."""
    if not callable(loss):
        raise UsageError(
            f"prepare was given a {type(loss).__name__}; it takes a function that gives a batch's loss, such as "
            "lambda: criterion(model(x), y)"
        )


def check_steps(**steps: int | None) -> None:
    """Raise UsageError where one is neither None nor a whole number of at least 1."""
    for name, value in steps.items():
        if value is not None and (not isinstance(value, int) or value < 1):
            raise UsageError(f"{name}={value!r} was given; it is a number of steps, 1 or more")


def check_fraction(**fractions: float) -> None:
    """Raise UsageError where one is not above 0 and at most 1."""
    for name, value in fractions.items():
        if not 0 < value <= 1:  # also refuses NaN
            raise UsageError(f"{name}={value!r} was given; allowed is above 0 and at most 1, e.g. 0.5")


def check_not_negative(**numbers: float | None) -> None:
    """Raise UsageError where one is neither None nor a finite number of at least 0."""
    for name, value in numbers.items():
        if value is not None and not 0 <= value < float("inf"):
            raise UsageError(f"{name}={value!r} was given; it is a finite number, 0 or more")
