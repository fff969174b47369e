"""Small networks for tables, dense or sparse through tithe, stopped early on a part of the data."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

import tithe
from tithe.cost.flop import FlopCount
from tithe.nn import sparse_layers
from tithe.train.batches import generator

HIDDEN, DENSITY = 64, 0.05
STEPS, BATCH, LR, DECAY = 2000, 64, 1e-3, 1e-4  # AdamW
EVERY = 100  # steps between rewirings
LOOK, PATIENCE = 50, 500  # steps between looks at the held-out fifth; without improvement for so long, it ends
HELD_OUT, FEWEST = 0.2, 10


@dataclass(frozen=True)
class Trained:
    """A network, and what it took."""

    model: nn.Module
    flop: int
    steps: int

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Predictions [n] for examples [n, p]."""
        with torch.no_grad():
            return self.model(torch.from_numpy(np.ascontiguousarray(x, np.float32)))[:, 0].numpy()


def train(x: np.ndarray, y: np.ndarray, seed: int, density: float | None, steps: int) -> Trained:
    """p inputs, 64 hidden units with ReLU, one output, squared error; the weights of the best look are kept.

    Args:
        x: examples [n, p].
        y: targets [n].
        seed: decides weights, topology and batches.
        density: of the hidden layer, which sparse momentum rewires; None: dense. The output layer is dense.
        steps: at most; not fewer than `LOOK`.
    """
    inputs, targets = torch.from_numpy(np.ascontiguousarray(x, np.float32)), torch.from_numpy(y.astype(np.float32))
    held_out = max(round(HELD_OUT * len(y)), FEWEST)
    learned = inputs[held_out:], targets[held_out:]
    model = _network(x.shape[1], seed, density)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=DECAY)
    method = tithe.SparseMomentum(model, optimizer, every=EVERY, total_steps=steps) if density else None
    dice, flop = generator(seed, 0, "batches of a study"), FlopCount()
    best, kept, since, step = float("inf"), None, 0, 0
    while step < steps and since < PATIENCE:
        step += 1
        chosen = torch.randint(len(learned[1]), (min(BATCH, len(learned[1])),), generator=dice)
        nnz = tuple(layer.nnz for layer in sparse_layers(model).values())
        with flop.counted(nnz, (len(chosen), int(method is not None and method.scouting))):
            _step(model, optimizer, learned[0][chosen], learned[1][chosen])
            if method is not None:
                method.step()
            optimizer.zero_grad(set_to_none=True)
        if step % LOOK == 0:
            error, since = _error(model, inputs[:held_out], targets[:held_out]), since + LOOK
            if error < best:
                best, kept, since = error, copy.deepcopy(model.state_dict()), 0
    assert kept is not None, f"{steps} steps are fewer than a look apart"
    model.load_state_dict(kept)
    return Trained(model, flop.total, step)


def _network(features: int, seed: int, density: float | None) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
    if density is None:
        return model
    dice = generator(seed, 0, "topology of a study")
    return tithe.sparsify(model, density, keep_dense=["2"], generator=dice, kernel="sparse")


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> None:
    nn.functional.mse_loss(model(x)[:, 0], y).backward()
    optimizer.step()


def _error(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    with torch.no_grad():
        return nn.functional.mse_loss(model(x)[:, 0], y).item()
