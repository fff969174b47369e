"""DeepR: weights keep the sign they were born with; one that would change it is dropped, and one grows anywhere.

Bellec, Kappel, Maass, Legenstein 2018, "Deep Rewiring: Training very sparse deep networks", arXiv 1711.05136, section 2
and algorithm 1 (numbers unchecked); alpha and the noise are those of their public code
(github.com/guillaumeBellec/deep_rewiring, script_mnist_deep_rewiring.py: l1 and gdnoise). Differs from the paper in:

1. Each layer keeps its number of weights, as in that script; algorithm 1 counts over all layers.
2. The step is the user's optimizer's; the paper's is plain SGD.
3. With `every` above 1 a weight that would change its sign waits at zero for the next rewiring.
4. A layer keeps at least one weight.
5. A weight that grows gets its sign by chance; in that script each place has one sign for good.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tithe.methods.base import check_not_negative, check_steps, dice
from tithe.methods.driver import Driver
from tithe.methods.growth import grown_at_random
from tithe.nn.layer import SparseLayer
from tithe.rewire import LayerPlan, group_of


class DeepR(Driver):
    """Rewires a sparsified model by signs and noise (Bellec et al. 2018, arXiv 1711.05136); see `plan`.

    Args:
        model: holds the sparse layers; all of them take part.
        optimizer: holds their values.
        total_steps: steps of the whole training; the last rewiring comes before.
        every: steps from one rewiring to the next; the paper takes one, and each costs a new topology.
        penalty: how much towards zero each step moves a weight, times the learning rate. Their alpha.
        noise: standard deviation of what is added to a weight in each step, over the learning rate.
        seed: decides noise, signs and where weights grow.

    Raises:
        UsageError: an argument out of range, a model without sparse layers, an optimizer that does not hold them.

    >>> import torch, tithe
    >>> model = tithe.sparsify(torch.nn.Sequential(torch.nn.Linear(64, 10)), density=0.1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> rewire = tithe.DeepR(model, optimizer, total_steps=4500)
    >>> rewire.signs["0"].shape
    torch.Size([64])
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        total_steps: int,
        every: int = 1,
        penalty: float = 1e-5,
        noise: float = 1e-5,
        seed: int = 0,
    ) -> None:
        check_steps(total_steps=total_steps, every=every)
        check_not_negative(penalty=penalty, noise=noise)
        super().__init__(model, optimizer)
        self.total_steps, self.every = total_steps, every
        self.penalty, self.noise, self.seed = penalty, noise, seed
        self.signs = {name: _sign(layer.values) for name, layer in self.layers.items()}

    def state_dict(self) -> dict[str, Any]:
        """Steps, history and the signs."""
        return super().state_dict() | {"signs": self.signs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was saved; load the model's and the optimizer's state first."""
        super().load_state_dict(state)
        self.signs = {name: sign.to(self.layers[name].values) for name, sign in state["signs"].items()}

    def held_bytes(self) -> int:
        """Bytes of the signs."""
        return sum(sign.nbytes for sign in self.signs.values())

    @property
    def settled(self) -> bool:
        """At the end only."""
        return self.steps >= self.total_steps

    def _is_due(self) -> bool:
        return self.steps % self.every == 0 and self.steps < self.total_steps

    @torch.no_grad()
    def _after_optimizer(self, finite: bool) -> None:
        """Noise, penalty, and what would change its sign stops at zero."""
        for name, layer in self.layers.items():
            sign, rate = self.signs[name], float(group_of(self.optimizer, layer.values)["lr"])
            drawn = torch.randn(layer.nnz, generator=dice(self.seed, self.steps, f"noise {name}")).to(layer.values)
            layer.values.add_(rate * (self.noise * drawn - self.penalty * sign))
            layer.values.copy_(sign * (sign * layer.values).clamp_(min=0))

    def _plans(self, rate: float) -> dict[str, LayerPlan]:
        return plan(self.layers, self.seed, self.steps)

    def _before_layers_change(self, plans: Mapping[str, LayerPlan]) -> None:
        """Kept weights keep their signs, grown ones get one by chance."""
        for name, layer_plan in plans.items():
            kept = ~layer_plan.drop
            drawn = torch.rand(layer_plan.grow.numel(), generator=dice(self.seed, self.steps, f"sign {name}"))
            born = torch.where(drawn < 0.5, -1.0, 1.0).to(self.signs[name])
            places = torch.cat([self.layers[name].topology.positions()[kept], layer_plan.grow])
            self.signs[name] = torch.cat([self.signs[name][kept], born])[places.argsort()]


def plan(layers: Mapping[str, SparseLayer], seed: int, step: int) -> dict[str, LayerPlan]:
    """Each layer drops its weights that are zero, and grows as many anywhere. Pure."""
    return {name: _layer_plan(layer, dice(seed, step, name)) for name, layer in layers.items()}


def _layer_plan(layer: SparseLayer, generator: torch.Generator) -> LayerPlan:
    drop = layer.values.detach() == 0
    drop[layer.values.detach().abs().argmax()] = False
    return grown_at_random(layer.topology, drop, int(drop.sum()), generator)


def _sign(values: Tensor) -> Tensor:
    """[nnz]: 1 or -1, 1 for zero."""
    return torch.where(values.detach() < 0, -1.0, 1.0).to(values)
