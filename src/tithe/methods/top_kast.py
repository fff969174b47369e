"""Top-KAST: computes with the largest weights, learns some more of them, and now and then looks which are the largest.

Jayakumar, Pascanu, Rae, Osindero, Elsen 2020, "Top-KAST: Top-K Always Sparse Training", NeurIPS, arXiv 2106.03517,
section 2 (number unchecked): the forward set A, the larger backward set B, and the exploration penalty, which is 1 / D
times as strong outside A, with D the density of A. Differs from the paper in:

1. The penalty is the optimizer's weight decay; what weights of B outside A have to have besides is applied after each
   step.
2. B has twice the weights of A unless told otherwise, as in the paper's examples at 10 and 5 % (unchecked), and sets
   are chosen anew every 100 steps (unchecked).
3. In the last step (or at `stop`) what is not in A goes, so the network ends with exactly the density asked for.
4. A weight that comes into B starts at rest: the optimizer keeps state for B only.
5. Layers share the weights evenly, the first and the last as the others (`keep_dense` names exceptions).

Weights outside B are not trained but keep their values, which may be large enough one day: one dense vector of all
weights, 4 bytes each, which is in the bill (`held_bytes`). In a step nothing dense is computed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tithe import rewire
from tithe.budget import counts
from tithe.errors import UsageError
from tithe.methods.base import Rewiring, check_fraction, check_steps
from tithe.methods.descent import Descent, pruned
from tithe.methods.driver import Driver
from tithe.methods.penalty import step_length
from tithe.nn.explore import Exploring
from tithe.nn.layer import SparseLayer
from tithe.rewire import LayerPlan, group_of
from tithe.scores import smallest


class TopKAST(Driver):
    """Trains the largest weights and tries out some more (Jayakumar et al. 2020, arXiv 2106.03517); see `plan`.

    Until it has ended the model holds the weights of the backward set; its forward pass takes the largest of them.

    Args:
        model: sparsified at density 1: all weights have their first values.
        optimizer: holds its values; its weight decay is the exploration penalty.
        total_steps: steps of the whole training.
        density: fraction of the weights that the network computes with.
        backward: fraction of the weights that learn, at least `density`; None: twice that.
        budget: how layers share them: "uniform" or "erk".
        every: steps from one choice of the sets to the next.
        stop: fraction of the training after which only what the network computes with is left.

    Raises:
        UsageError: an argument out of range, a model without sparse layers or that has not all of its weights.

    >>> import torch, tithe
    >>> model = tithe.sparsify(torch.nn.Sequential(torch.nn.Linear(64, 10)), density=1.0, kernel="by-density")
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> method = tithe.TopKAST(model, optimizer, total_steps=4500, density=0.1)
    >>> model[0].nnz, method.shown
    (128, {'0': 64})
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        total_steps: int,
        density: float,
        backward: float | None = None,
        budget: str = "uniform",
        every: int = 100,
        stop: float = 1.0,
    ) -> None:
        check_steps(total_steps=total_steps, every=every)
        check_fraction(density=density, stop=stop)
        wide = min(2 * density, 1.0) if backward is None else backward
        if not density <= wide <= 1:  # also refuses NaN
            raise UsageError(f"backward={wide!r} was given; it is at least density={density:g} and at most 1")
        super().__init__(model, optimizer)
        shapes = {name: layer.weight_shape for name, layer in self.layers.items()}
        self.shown = counts(shapes, density, budget)
        self.present = {name: max(n, self.shown[name]) for name, n in counts(shapes, wide, budget).items()}
        _check_full(self.layers, density, budget)
        self.every, self.last_step = every, max(round(stop * total_steps), 1)
        self._dense = {name: layer.values.detach().clone() for name, layer in self.layers.items()}
        self._exploring: dict[str, Exploring] = {}
        rewire.apply(self.layers, optimizer, plan(self.layers, self._dense, self.present))
        self._show(self._forward_sets())

    @property
    def settled(self) -> bool:
        """Whether only the forward set is left."""
        return not self._dense

    def held_bytes(self) -> int:
        """Bytes of the vector of all weights and of what says which are in the forward set."""
        parts = [dense.nbytes for dense in self._dense.values()]
        return sum(parts) + sum(exploring.nbytes() for exploring in self._exploring.values())

    def state_dict(self) -> dict[str, Any]:
        """Steps, history, all weights and the forward set."""
        masks = {name: exploring.mask for name, exploring in self._exploring.items()}
        return super().state_dict() | {"dense": self._dense, "shown": masks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was saved; load the model's and the optimizer's state first."""
        super().load_state_dict(state)
        self._dense = {name: dense.to(self.layers[name].values) for name, dense in state["dense"].items()}
        self._show({name: mask.to(self.layers[name].values.device) for name, mask in state["shown"].items()})

    def _is_due(self) -> bool:
        on_time = self.steps % self.every == 0 or self.steps >= self.last_step
        return on_time and not self.settled

    @torch.no_grad()
    def _after_optimizer(self, finite: bool) -> None:
        """The part of the penalty that the optimizer's weight decay leaves out."""
        for name, exploring in self._exploring.items():
            layer = self.layers[name]
            more = math.prod(layer.weight_shape) / self.shown[name] - 1
            group = group_of(self.optimizer, layer.values)
            less = step_length(self.optimizer, group) * group.get("weight_decay", 0.0) * more
            layer.values[exploring.hidden] *= max(1 - less, 0.0)

    def _plans(self, rate: float) -> dict[str, LayerPlan]:
        if self.steps >= self.last_step:
            return pruned({name: ~exploring.mask for name, exploring in self._exploring.items()})
        for name, layer in self.layers.items():
            self._dense[name][layer.topology.positions()] = layer.values.detach()
        return plan(self.layers, self._dense, self.present)

    def _rewire(self, finite: bool) -> Rewiring:
        found = super()._rewire(finite)
        if found.skipped is None and self.steps >= self.last_step:
            self._dense = {}
            self._show({})
        elif found.skipped is None:
            for name, layer in self.layers.items():
                layer.values.detach().copy_(self._dense[name][layer.topology.positions()])
            self._show(self._forward_sets())
        return found

    def _forward_sets(self) -> dict[str, Tensor]:
        """Bool [nnz] for each layer that has more weights than the network computes with."""
        return {
            name: _largest(layer.values, self.shown[name])
            for name, layer in self.layers.items()
            if layer.nnz > self.shown[name]
        }

    def _show(self, masks: Mapping[str, Tensor]) -> None:
        for exploring in self._exploring.values():
            exploring.stop()
        self._exploring = {name: Exploring(self.layers[name], mask) for name, mask in masks.items()}


def plan(
    layers: Mapping[str, SparseLayer], dense: Mapping[str, Tensor], present: Mapping[str, int]
) -> dict[str, LayerPlan]:
    """Each layer comes to have the `present[name]` largest of all its weights, dense[name] [logical]. Pure."""
    plans = {}
    for name, layer in layers.items():
        wanted, places = _largest(dense[name], present[name]), layer.topology.positions()
        drop = ~wanted[places]
        wanted[places] = False
        plans[name] = LayerPlan(drop, wanted.nonzero().reshape(-1))
    return plans


def _largest(values: Tensor, keep: int) -> Tensor:
    """Bool [len(values)]: True at the `keep` largest |value|."""
    return ~smallest(values.detach().abs(), values.numel() - keep)


def _check_full(layers: Mapping[str, SparseLayer], density: float, budget: str) -> None:
    Descent.of(layers, density, budget)  # says so where there is nothing to prune
    short = next((name for name, layer in layers.items() if layer.nnz < math.prod(layer.weight_shape)), None)
    if short is not None:
        raise UsageError(
            f"layer {short!r} has only {layers[short].density:.4g} of its weights, and this method chooses among all; "
            "start with tithe.sparsify(model, density=1.0)"
        )
