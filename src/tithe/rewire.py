"""The only place that changes a live model: new topologies; values and optimizer state go along by position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from tithe.errors import UsageError
from tithe.nn.layer import SparseLayer
from tithe.topology import Topology

# State that divides the update: a grown weight without a measured one takes the layer's mean, since zero would
# make its first updates as long as the learning rate allows.
DENOMINATORS = {"exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum", "exp_inf", "acc_delta"}


@dataclass(frozen=True)
class LayerPlan:
    """What one rewiring does to one layer."""

    drop: Tensor  # bool [nnz]: True at the weights to drop
    grow: Tensor  # int64 [g], ascending: logical positions, none of them kept
    grown_state: Mapping[str, Tensor] = field(default_factory=dict)  # optimizer state key -> [g], where it is known


@dataclass(frozen=True)
class _Change:
    topology: Topology
    values: Tensor
    state: dict[str, Any]


def apply(layers: Mapping[str, SparseLayer], optimizer: Optimizer, plans: Mapping[str, LayerPlan]) -> None:
    """Carry out the plans; either all layers change or, on an error, none.

    A kept weight keeps its value and its optimizer state. A grown weight starts at zero; its state is the planned one,
    or its own of a moment ago where the same rewiring dropped it.

    Raises:
        UsageError: the optimizer holds state that is not per element (or lacks a layer's values).
    """
    check(layers, optimizer)
    changes = {name: _changed(layers[name], optimizer, plan) for name, plan in plans.items()}
    for name, change in changes.items():
        layer = layers[name]
        layer.replace(change.topology, change.values)
        if change.state:
            optimizer.state[layer.values] = change.state


def check(layers: Mapping[str, SparseLayer], optimizer: Optimizer) -> None:
    """See that a rewiring can carry this optimizer's state.

    Raises:
        UsageError: a layer's values are not in the optimizer, or a state is neither a number nor per element.
    """
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for name, layer in layers.items():
        if id(layer.values) not in held:
            raise UsageError(
                f"the optimizer does not hold the values of layer {name!r}; "
                "make it from model.parameters() after sparsify"
            )
        check_state(name, layer.values, optimizer, "a rewiring")


def group_of(optimizer: Optimizer, parameter: Tensor) -> dict[str, Any]:
    """The optimizer's group that holds this parameter.

    Raises:
        UsageError: none does.
    """
    for group in optimizer.param_groups:
        if any(held is parameter for held in group["params"]):
            return group
    raise UsageError(
        f"the optimizer does not hold a weight of shape {tuple(parameter.shape)}; make it from model.parameters()"
    )


def check_state(name: str, parameter: Tensor, optimizer: Optimizer, change: str) -> None:
    """See that the optimizer's state of a parameter of layer `name` can go along with a change of its size.

    Raises:
        UsageError: a state is neither a number nor per element.
    """
    for key, state in optimizer.state.get(parameter, {}).items():
        if not (_is_number(state) or _is_per_element(state, parameter)):
            shape = tuple(state.shape) if isinstance(state, Tensor) else type(state).__name__
            raise UsageError(
                f"{type(optimizer).__name__} keeps {key!r} ({shape}) for layer {name!r}, which is not one number "
                f"a weight and cannot follow {change}; use SGD, Adam, AdamW, RMSprop or Adagrad"
            )


def _changed(layer: SparseLayer, optimizer: Optimizer, plan: LayerPlan) -> _Change:
    old = layer.topology.positions()
    kept, grow = ~plan.drop.to(old.device), plan.grow.to(old.device)
    # A weight that was dropped and is grown again at once goes on with the state it had.
    previous, again = _lookup(old, grow)
    new, order = torch.cat([old[kept], grow]).sort()
    del old
    topology = Topology.from_positions(new.cpu(), layer.matrix_shape)
    values = torch.cat([layer.values.detach()[kept], layer.values.new_zeros(grow.numel())])[order]
    state = {}
    for key, value in optimizer.state.get(layer.values, {}).items():
        if _is_per_element(value, layer.values):
            fresh = torch.where(again, value[previous], _fresh(key, value, plan, grow))
            value = torch.cat([value[kept], fresh])[order]
        state[key] = value
    return _Change(topology, values, state)


def _lookup(positions: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """For each wanted position its index in `positions` (ascending) and whether it is there."""
    if positions.numel() == 0:
        return torch.zeros_like(wanted), torch.zeros_like(wanted, dtype=torch.bool)
    index = torch.searchsorted(positions, wanted).clamp_(max=positions.numel() - 1)
    return index, positions[index] == wanted


def _fresh(key: str, state: Tensor, plan: LayerPlan, grow: Tensor) -> Tensor:
    if key in plan.grown_state:
        return plan.grown_state[key].to(state)
    start = state.mean().item() if key in DENOMINATORS and state.numel() else 0.0
    return state.new_full((grow.numel(),), start)


def _is_per_element(state: Any, parameter: Tensor) -> bool:
    return isinstance(state, Tensor) and state.shape == parameter.shape


def _is_number(state: Any) -> bool:
    return state is None or isinstance(state, int | float) or (isinstance(state, Tensor) and state.dim() == 0)
