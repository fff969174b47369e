"""One row a method: what the battery in `test_every_method.py` makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional

import tithe
from tithe.methods import METHODS
from tithe.methods.base import Method

EVERY, STEPS, DENSITY = 8, 50, 0.2


@dataclass(frozen=True)
class Row:
    """How a method is tried out, and what is to be expected."""

    options: dict[str, Any] = field(default_factory=dict)
    rewirings: int | None = None  # in STEPS steps; None: some
    grows: bool = True
    fixed_layers: bool = False  # whether each layer keeps its number of weights


ROWS = {
    "sparse-momentum": Row({"every": EVERY, "scout_steps": 3}, 6),
    "rigl": Row({"every": EVERY}, 4, fixed_layers=True),  # at 8, 16, 24, 32: it stops at three quarters
    "set": Row({"every": EVERY}, 6, fixed_layers=True),
    "dsr": Row({"every": EVERY, "threshold": 0.05}, 6),
    "deepr": Row({"every": 1, "penalty": 1e-3, "noise": 1e-2}, 49, fixed_layers=True),
    "static": Row({}, 0, grows=False, fixed_layers=True),
    "snip": Row({}, 1, grows=False),
    "grasp": Row({}, 1, grows=False),
    "top-kast": Row({"every": EVERY}, 7),  # at 8, 16, ... 48, and its end
    "gradual-magnitude": Row({"every": EVERY}, 4, grows=False),  # at 8, 16, 24 and its end, 25
    "granet": Row({"every": EVERY}, 6),
    "one-shot": Row({}, 1, grows=False),
    "lottery-ticket": Row({"rounds": 2, "rewind": 0.2}, 2, grows=False),
    "l1": Row({}, 1, grows=False),
    "group-lasso": Row({"every": EVERY, "strength": 0.01}, grows=False),
    "small-dense": Row({}, grows=False),
    "search": Row({}, grows=False),
    "dense": Row({}, grows=False),
}


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 4))


def cnn() -> nn.Sequential:
    """Convolutions, norms and pooling, for 6 x 6 pictures."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(72, 4),
    )


MODELS = {"mlp": (mlp, (12,)), "cnn": (cnn, (1, 6, 6))}


@dataclass
class Trial:
    """A model, its optimizer and the method on it."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    method: Method
    shape: tuple[int, ...]
    dtype: torch.dtype

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(16, *self.shape, generator=generator, dtype=torch.float64).to(self.dtype)
        return x, torch.randint(4, (16,), generator=generator)

    def loss(self, step: int) -> torch.Tensor:
        x, y = self.batch(step)
        return functional.cross_entropy(self.model(x), y)

    def prepare(self) -> None:
        if self.method.needs_loss:
            x, y = self.batch(0)
            self.method.prepare(lambda: functional.cross_entropy(self.model(x) / self.method.temperature, y))

    def train(self, first: int, last: int) -> None:
        """Steps first..last, counted from 1."""
        for step in range(first, last + 1):
            self.optimizer.zero_grad()
            self.loss(step).backward()
            self.optimizer.step()
            self.method.step()

    def nnz(self) -> list[int]:
        return [layer.nnz for layer in tithe.sparse_layers(self.model).values()]


def trial(name: str, model: str = "mlp", kernel: str = "sparse", dtype: torch.dtype = torch.float32, **more) -> Trial:
    """The method on a small model, ready to be prepared and trained for `STEPS` steps."""
    entry = METHODS[name]
    make, shape = MODELS[model]
    torch.manual_seed(1)
    network = make().to(dtype)
    if entry.start == "sparse":
        tithe.sparsify(network, DENSITY, generator=torch.Generator().manual_seed(2), kernel=kernel)
    elif entry.start == "dense":
        tithe.sparsify(network, 1.0, kernel=kernel)
    optimizer = torch.optim.SGD(network.parameters(), 0.05, 0.9, weight_decay=5e-4, nesterov=True)
    offered = {"total_steps": STEPS, "density": DENSITY, "every": EVERY, "seed": 3}
    return Trial(network, optimizer, entry.make(network, optimizer, offered, ROWS[name].options | more), shape, dtype)
