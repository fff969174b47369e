"""A training step rehearsed on fake tensors: the model's own code, autograd and the optimizer run, and nothing is
allocated or computed, but FLOP are counted and it is seen what would be alive.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim import Optimizer

from tithe.cost.live import Live
from tithe.cost.memory import Footprint, footprint
from tithe.cost.stand_ins import FakeScout, as_really_computed
from tithe.errors import UsageError
from tithe.nn import sparse_layers
from tithe.nn.convert import hollow
from tithe.scout import average_of

# Bytes that a rewiring takes for a weight of the largest layer while it chooses, and while it makes the new layer; and
# for each weight of the new layers, which are there before the old ones go: a value and three indices.
_TO_CHOOSE, _TO_CHANGE, _NEW_LAYER = 17, 35, 16

MakeOptimizer = Callable[[Any], Optimizer]  # takes the parameters
Loss = Callable[[Any, Any], Tensor]  # takes outputs and targets


@dataclass(frozen=True)
class Step:
    """What one training step takes."""

    flop: int
    peak: int  # B, most that is alive at one moment
    held: Footprint  # weights, indices, gradients, optimizer state, accumulators, after the optimizer's step
    activations: int  # B, most that is alive beside those
    end: int  # B, alive at its end, before the gradients go


def rewiring_peak(nnz: Sequence[int], end: float, optimizer: float, scouting: float) -> float:
    """Bytes alive in a rewiring. It chooses by numbers, so it cannot be rehearsed: bytes a weight, fitted to torch's
    memory profiler (benchmarks/plans_say_what_training_takes.py).

    Args:
        nnz: weights of each sparse layer.
        end: bytes alive at the end of the step before.
        optimizer: bytes of its state.
        scouting: bytes of the accumulators, which go before layers are changed.
    """
    largest, total = max(nnz, default=0), sum(nnz)
    choosing = _TO_CHOOSE * largest + total
    changing = _NEW_LAYER * total + optimizer + _TO_CHANGE * largest
    return max(end + choosing, end - scouting + changing)


@dataclass(frozen=True)
class Sparse:
    """How to make a model sparse: arguments of `sparsify`."""

    density: float
    budget: str | Mapping[str, float] = "erk"
    keep_dense: tuple[str | type[nn.Module], ...] = ()


class Rehearsal:
    """A fake twin of a model and of its optimizer, ready to step.

    Args:
        model: on any device, "meta" too; it is only looked at.
        optimizer: makes the optimizer from the parameters.
        sparse: how to make it sparse; None trains it as it is.
        loss: of outputs and targets.
        bf16: whether the passes run under torch.autocast("cpu", torch.bfloat16).
        kernels: whether the sparse kernels run; else each layer makes its dense weight for the time of a call. FLOP are
            counted as the kernels do them all the same.

    Raises:
        UsageError: as `sparsify`; or the model has nothing to train.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: MakeOptimizer,
        sparse: Sparse | None,
        loss: Loss,
        bf16: bool = False,
        kernels: bool = True,
    ) -> None:
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise UsageError("the model has no parameters to train; give another one.")
        self._mode, self._live = FakeTensorMode(), Live(self._rose)
        self._loss, self._bf16 = loss, bf16
        self._scouts: dict[str, FakeScout] = {}
        self._activations = 0
        self._base: int | None = None  # B, what a step finds
        with self._rehearsing():
            self.model = _fake_twin(model)
            if sparse is not None:
                self.model = hollow(self.model, sparse.density, sparse.budget, sparse.keep_dense)
            self.layers = sparse_layers(self.model)
            for layer in self.layers.values():
                as_really_computed(layer, kernels)
            self._parameters = list(self.model.parameters())
            self.optimizer = optimizer(self._parameters)
            self._make_state()

    def nnz(self) -> list[int]:
        """Existing weights of each sparse layer."""
        return [layer.nnz for layer in self.layers.values()]

    def step(self, x: Tensor, y: Any, scouting: bool = False) -> Step:
        """One step with optimizer state; x and y are looked at for shape and dtype only."""
        with self._rehearsing():
            x, y = _fake(x), _fake(y)
            with self._scouted(scouting):
                self._live.restart()
                self._base, self._activations = self._held().total, 0
                held, end = self._run(x, y)
                self._base = None
        return Step(self._live.flop, self._live.peak, held, self._activations, end)

    def _make_state(self) -> None:
        """An optimizer makes its state in its first step."""
        for parameter in self._parameters:
            parameter.grad = torch.empty_like(parameter) if parameter.requires_grad else None
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _run(self, x: Tensor, y: Any) -> tuple[Footprint, int]:
        """As `tithe train` steps: outputs and loss live until the end; what is held and alive before gradients go."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
            outputs = self.model(x)
        loss = self._loss(outputs, y)
        loss.backward()
        self.optimizer.step()
        for name, scout in self._scouts.items():
            scout.fold(average_of(self.optimizer, self.layers[name].values), 1)
        held, end = self._held(), self._live.alive
        self.optimizer.zero_grad(set_to_none=True)
        return held, end

    @contextlib.contextmanager
    def _rehearsing(self) -> Iterator[None]:
        """Tensors that are made have no memory, and are on the CPU, for which the kernels are."""
        with self._mode, self._live, torch.device("cpu"):
            yield

    @contextlib.contextmanager
    def _scouted(self, scouting: bool) -> Iterator[None]:
        if scouting:
            for name, layer in self.layers.items():
                average = average_of(self.optimizer, layer.values)
                self._scouts[name] = FakeScout(layer, average, self._live)
        try:
            yield
        finally:
            for scout in self._scouts.values():
                scout.stop()
            self._scouts = {}

    def _held(self) -> Footprint:
        return footprint(self.model, self.optimizer, sum(scout.nbytes() for scout in self._scouts.values()))

    def _rose(self, alive: int) -> None:
        """At a new peak: what of it is neither there between steps nor a gradient."""
        if self._base is not None:
            gradients = sum(p.grad.nbytes for p in self._parameters if p.grad is not None)
            self._activations = max(self._activations, alive - self._base - gradients)


def _fake_twin(model: nn.Module) -> nn.Module:
    """A copy of the model whose parameters and buffers are fake tensors on the CPU; the model's own are not read."""
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): _fake(tensor) for tensor in tensors})


def _fake(given: Any) -> Any:
    if not isinstance(given, Tensor):
        return given
    twin = torch.empty_strided(given.size(), given.stride(), dtype=given.dtype)
    return nn.Parameter(twin, given.requires_grad) if isinstance(given, nn.Parameter) else twin
