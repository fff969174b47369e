"""`tithe.plan`: what a training will take, before it is begun; sparse beside dense."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

from tithe.cost import table
from tithe.cost.calendar import Epoch, calendar
from tithe.cost.calibrate import Loop
from tithe.cost.half import Work
from tithe.cost.hardware import Hardware
from tithe.cost.moves import Moves
from tithe.cost.priced import Plan, Times, priced
from tithe.cost.rehearsal import Loss, MakeOptimizer, Sparse
from tithe.errors import UsageError
from tithe.methods.sparse_momentum import window
from tithe.nn import sparse_layers, sparsify
from tithe.nn.convert import Kept, kept_entries

OPTIMIZERS: dict[str, MakeOptimizer] = {
    "sgd": lambda parameters: optim.SGD(parameters, 0.1, momentum=0.9, nesterov=True),
    "adam": lambda parameters: optim.Adam(parameters, 1e-3),
    "adamw": lambda parameters: optim.AdamW(parameters, 1e-3),
    "rmsprop": lambda parameters: optim.RMSprop(parameters, 1e-3),
    "adagrad": lambda parameters: optim.Adagrad(parameters, 1e-2),
}
"""By name; "sgd" has Nesterov momentum 0.9."""


def plan(
    model: nn.Module,
    x: Tensor | tuple[int, ...],
    *,
    examples: int,
    epochs: int = 1,
    density: float = 0.05,
    budget: str | Mapping[str, float] = "erk",
    keep_dense: Kept = (),
    optimizer: str | MakeOptimizer = "sgd",
    loss: Loss | None = None,
    rewire_every: int | None = None,
    scout_steps: int | None = None,
    redistribute: bool = True,
    bf16: bool = False,
    workers: int = 1,
    hardware: str | Hardware | None = None,
    device_memory: str | float | None = None,
    calibrate: bool = False,
    rates: Mapping[str, Any] | None = None,
) -> Plan:
    """What training this model would take, sparse beside dense; nothing is allocated unless `calibrate` is.

    Args:
        model: the dense model; on the meta device too. It is left as it is.
        x: a batch of inputs, of which only shape and dtype count, or its shape [N, ...] (float32).
        examples: in the training set.
        epochs: passes over it.
        density: fraction of the weights that exist, as for `tithe.sparsify`; so are budget and keep_dense.
        budget: how layers share the weights.
        keep_dense: what stays dense.
        optimizer: "sgd" (momentum), "adam", "adamw", "rmsprop", "adagrad", or what makes one from the parameters.
        loss: of outputs and targets (None is passed); by default cross-entropy over the outputs' last dimension.
        rewire_every: steps; by default an epoch.
        scout_steps: steps with dense gradients before each rewiring; by default as `tithe.SparseMomentum` has it.
        redistribute: whether rewiring moves weights between layers, as `tithe.SparseMomentum` does.
        bf16: passes under torch.autocast("cpu", torch.bfloat16).
        workers: how many devices share each epoch, each with batches like `x`.
        hardware: one device, or its name in the table; by default this machine's processor.
        device_memory: of one device, "24GB" or bytes; by default the hardware's.
        calibrate: measure a few steps here, for the seconds.
        rates: arguments of `tithe.cost.Rates.on`, prices for example.

    Raises:
        UsageError: an argument out of range or unknown, or a model whose code cannot be followed without numbers.

    >>> import torch, tithe
    >>> model = torch.nn.Sequential(torch.nn.Linear(784, 300), torch.nn.ReLU(), torch.nn.Linear(300, 10))
    >>> found = tithe.plan(model, (100, 784), examples=60_000, epochs=20)
    >>> found.dense.step_flop.value == 2 * 100 * (2 * 784 * 300 + 3 * 300 * 10)  # fc1 makes no input gradient
    True
    """
    if sparse_layers(model):
        raise UsageError("a model that is sparse already was given; give the dense one and the density.")
    if workers < 1:
        raise UsageError(f"workers {workers} is not possible: give 1 or more.")
    make, size = optimizer_called(optimizer), len(x) if isinstance(x, Tensor) else x[0]
    epoch = Epoch.of(-(-examples // workers), size)
    every = epoch.steps if rewire_every is None else rewire_every
    window = scout_window(make, every) if scout_steps is None else scout_steps
    days = calendar(epoch, epochs, every, window)
    sparse = Sparse(density, budget, kept_entries(keep_dense))
    moves = Moves(every, days.total) if redistribute else None
    work = Work(model, make, sparse, loss or cross_entropy, _batches(x), days, bf16, moves=moves)
    times = None
    if calibrate:
        check_calibration(hardware)
        times = _measured(work, x)
    return priced(work, hardware, times, workers=workers, device_memory=device_memory, rates=rates)


def check_calibration(hardware: str | Hardware | None) -> None:
    """Steps can be measured on this machine only.

    Raises:
        UsageError: another one is named.
    """
    if hardware is not None:
        name = hardware if isinstance(hardware, str) else hardware.name
        raise UsageError(f"steps that are measured here say nothing about {name}: leave out one of the two.")


def optimizer_called(optimizer: str | MakeOptimizer) -> MakeOptimizer:
    """What makes the optimizer of this name.

    Raises:
        UsageError: no such name.
    """
    if not isinstance(optimizer, str):
        return optimizer
    if optimizer.lower() not in OPTIMIZERS:
        raise table.unknown("optimizer", optimizer, OPTIMIZERS, "In Python, a function of the parameters will do too.")
    return OPTIMIZERS[optimizer.lower()]


def scout_window(make: MakeOptimizer, every: int) -> int:
    """How many steps `SparseMomentum` scouts before a rewiring with this optimizer."""
    values = nn.Parameter(torch.zeros(1, device="cpu"))
    return window(make([values]), [values], every)


def cross_entropy(outputs: Tensor, targets: Tensor | None) -> Tensor:
    """Over the last dimension of outputs [..., classes], in float32; without targets [...], all are class 0."""
    flat = outputs.flatten(0, -2)
    wanted = flat.new_zeros(flat.shape[0], dtype=torch.int64) if targets is None else targets.flatten()
    return F.cross_entropy(flat.float(), wanted)


def _batches(x: Tensor | tuple[int, ...]) -> Callable[[int], tuple[Tensor, None]]:
    shape, dtype = (tuple(x.shape), x.dtype) if isinstance(x, Tensor) else (tuple(x), torch.float32)
    return lambda examples: (torch.empty(examples, *shape[1:], dtype=dtype, device="meta"), None)


def _measured(work: Work, x: Tensor | tuple[int, ...]) -> Times:
    """Train copies of the model on the batch that was given, or on noise."""
    if any(parameter.is_meta for parameter in work.model.parameters()):
        raise UsageError("calibrate was given, but a model on the meta device cannot be run: leave out one of the two.")
    with torch.random.fork_rng(devices=[]):
        batch = x if isinstance(x, Tensor) and not x.is_meta else _noise(work, x)

    def loop(sparse: Sparse | None) -> Loop:
        model = copy.deepcopy(work.model)
        if sparse is not None:
            sparsify(model, sparse.density, sparse.budget, sparse.keep_dense, kernel="sparse")
        batches = itertools.repeat((batch, None))
        return Loop(model, work.optimizer(model.parameters()), batches, work.loss, work.bf16)

    return Times.measured(loop, work)


def _noise(work: Work, x: Tensor | tuple[int, ...]) -> Tensor:
    like = work.batch(len(x) if isinstance(x, Tensor) else x[0])[0]
    if like.is_floating_point():
        return torch.randn(like.shape).to(like.dtype)
    return torch.zeros(like.shape, dtype=like.dtype)
