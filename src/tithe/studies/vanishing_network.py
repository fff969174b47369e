"""Deep networks with and without skip connections, dense and sparse, and what arrives of a gradient in them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tithe
from tithe.methods.health import WATCH_STEPS, Watch, rms
from tithe.nn import sparse_layers
from tithe.train.batches import generator, normalisation
from tithe.train.data import Dataset
from tithe.train.network import dense_layers
from tithe.train.recipe import batch_bounds

Start = Literal["dense", "dense, torch's start", "sparse, per neuron", "sparse, as dense"]
STARTS: tuple[Start, ...] = ("dense", "dense, torch's start", "sparse, per neuron", "sparse, as dense")
"""What exists and how it is drawn. "dense": He et al. 2015, variance 2 / fan-in; "torch's start": nn.Linear's own, a
sixth of that; "per neuron": as dense, then scaled to the inputs that each neuron has left; "as dense": not scaled."""
MOMENTUM = 0.9


@dataclass(frozen=True)
class Case:
    """One network and how it is trained."""

    start: Start
    skips: bool
    depth: int  # hidden layers of equal width
    width: int
    density: float  # of the sparse ones
    epochs: int
    lr: float
    batch_size: int
    seed: int


class Block(nn.Module):
    """relu(W x + b), or with a skip connection x + relu(W x + b) / sqrt(depth).

    The branch is small, so that what the blocks add together is as large as what went in: without norms it would double
    in each (Zhang, Dauphin, Ma 2019, arXiv 1901.09321, section 2).
    """

    def __init__(self, width: int, depth: int, skips: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.skips, self.scale = skips, depth**-0.5

    def forward(self, x: Tensor) -> Tensor:
        """[N, width] -> [N, width]."""
        y = F.relu(self.linear(x))
        return x + self.scale * y if self.skips else y


def network(case: Case, inputs: int, classes: int) -> nn.Sequential:
    """A layer in, `depth` blocks, a layer out."""
    torch.manual_seed(case.seed)
    blocks = [Block(case.width, case.depth, case.skips) for _ in range(case.depth)]
    into = nn.Sequential(nn.Linear(inputs, case.width), nn.ReLU())
    model = nn.Sequential(nn.Flatten(), into, *blocks, nn.Linear(case.width, classes))
    if case.start != "dense, torch's start":
        _he(model)
    if case.start.startswith("sparse"):
        init = "fan_in" if case.start == "sparse, per neuron" else "keep"
        dice = torch.Generator().manual_seed(case.seed)
        tithe.sparsify(model, case.density, init=init, generator=dice, kernel="sparse")
    return model


def _he(model: nn.Module) -> None:
    """Variance 2 / fan-in, biases zero: He et al. 2015, arXiv 1502.01852, section 2.2."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)


def measure(case: Case, dataset: Dataset) -> dict[str, Any]:
    """{"gradients": at each hidden layer before training, "error": after it, "starves": whether a warning came}."""
    model = network(case, math.prod(dataset.x_train.shape[1:]), dataset.classes)
    normalise = normalisation(dataset.x_train)
    first = next(_batches(case, dataset, 1))
    gradients = arriving(model, normalise(first[0]), first[1])
    starves = _train(model, case, dataset)
    with torch.no_grad():
        right = (model(normalise(dataset.x_test)).argmax(1) == dataset.y_test).double().mean()
    return {"gradients": gradients, "error": 1 - float(right), "starves": starves}


def arriving(model: nn.Sequential, x: Tensor, labels: Tensor) -> list[float]:
    """Root mean square of d loss / d output of each hidden layer, from the first to the last."""
    outputs: list[Tensor] = []
    h = x
    for module in model:
        h = module(h)
        if isinstance(module, Block):
            outputs.append(h)
    found = torch.autograd.grad(F.cross_entropy(h, labels), outputs)
    return [rms(gradient) for gradient in found]


def _train(model: nn.Module, case: Case, dataset: Dataset) -> bool:
    """Plain training on the topology as it is; whether the watch of `tithe train` warned that a layer starves."""
    normalise = normalisation(dataset.x_train)
    optimizer = torch.optim.SGD(model.parameters(), lr=case.lr, momentum=MOMENTUM, nesterov=True)
    watches, step = [Watch(sparse_layers(model)), Watch(dense_layers(model), "weight")], 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for epoch in range(1, case.epochs + 1):
            for x, labels in _batches(case, dataset, epoch):
                optimizer.zero_grad()
                F.cross_entropy(model(normalise(x)), labels).backward()
                optimizer.step()
                step += 1
                if step <= WATCH_STEPS:
                    for watch in watches:
                        watch.step(step)
    return any("starve" in str(warning.message) for warning in caught)


def _batches(case: Case, dataset: Dataset, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    order = torch.randperm(len(dataset.y_train), generator=generator(case.seed, epoch, "order"))
    for start, end in batch_bounds(len(order), case.batch_size):
        chosen = order[start:end]
        yield dataset.x_train[chosen], dataset.y_train[chosen]
