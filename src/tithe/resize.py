"""The only place, beside `tithe.rewire`, that changes a live model: channels go, and all that holds them shrinks.

Parameters stay the same objects, their optimizer state goes along, so whoever holds them notices nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tithe.nn.channels import Space, spaces, weight_shape, width_names
from tithe.nn.layer import SparseLayer, swap_data
from tithe.nn.norm import BatchNorm1d
from tithe.rewire import check_state
from tithe.topology import Topology


def keep_channels(space: Space, kept: Tensor, optimizer: Optimizer | None) -> None:
    """Leave only these channels of a space (int64, ascending, at least one).

    Raises:
        UsageError: the optimizer holds state that is not per element; nothing has changed then.
    """
    _check([space], optimizer)
    for writer in space.writers.values():
        _keep_rows(writer, kept, optimizer)
    for reader in space.readers.values():
        _keep_columns(reader, _spread(kept, weight_shape(reader)[1] // space.size), optimizer)
    for norm in space.norms.values():
        _keep_features(norm, _spread(kept, norm.num_features // space.size), optimizer)
    for norm in space.presumed:
        norm.__class__ = BatchNorm1d
    space.size = kept.numel()


def remove_dead_channels(model: nn.Module, optimizer: Optimizer | None = None) -> int:
    """Remove the channels that no weight reads, and those that are always zero; answers with their number.

    What the model computes and learns stays the same; the tensors get smaller. A channel without incoming weights that
    has a bias or a norm is no dead one: it is a constant that the next layer uses. A method that grows weights can
    no longer grow them at what is gone, so call this when the topology is final.

    Args:
        model: sparsified or not; `torch.fx` must be able to follow its forward, or nothing is done.
        optimizer: holds the model's parameters; their state shrinks with them.

    Raises:
        UsageError: it holds state that is not per element; nothing has changed then.
    """
    removed = 0
    found = spaces(model)
    while True:
        alive = [(space, _alive(space)) for space in found]
        dead = [(space, mask) for space, mask in alive if not bool(mask.all())]
        if not dead:
            return removed
        if not removed:
            _check(found, optimizer)
        for space, mask in dead:  # the next round finds what has died with them
            removed += int((~mask).sum())
            keep_channels(space, mask.nonzero().reshape(-1), optimizer)


def fit_channels(model: nn.Module, state: Mapping[str, Tensor], optimizer: Optimizer | None = None) -> None:
    """Remove channels until the model has the shapes of `state`, a state_dict of the same model with fewer of them.

    Which channels go does not matter: the state, loaded afterwards, says what is left.
    """
    found = spaces(model)
    _check(found, optimizer)
    for space in found:
        pointers, weight = state.get(f"{space.name}.indptr"), state.get(f"{space.name}.weight")
        rows = pointers.numel() - 1 if pointers is not None else weight.shape[0] if weight is not None else space.size
        if rows < space.size:
            keep_channels(space, torch.arange(rows), optimizer)


def _check(found: list[Space], optimizer: Optimizer | None) -> None:
    if optimizer is None:
        return
    for space in found:
        for name, module in (space.writers | space.readers | space.norms).items():
            for parameter in module.parameters(recurse=False):
                check_state(name, parameter, optimizer, "a removal of channels")


def _alive(space: Space) -> Tensor:
    """Bool [size]; of dead channels only, the first stays."""
    read = torch.zeros(space.size, dtype=torch.bool)
    for reader in space.readers.values():
        read |= _existing(reader).any(0).view(space.size, -1).any(1).cpu()
    made = torch.zeros(space.size, dtype=torch.bool)
    for writer in space.writers.values():
        made |= _existing(writer).any(1).cpu() | (writer.bias is not None)
    alive = read & (made | bool(space.norms))
    if not alive.any():
        alive[0] = True
    return alive


def _existing(module: Any) -> Tensor:
    """Bool [out, in]: where a weight exists. In an ordinary layer all do: what is zero now need not stay so."""
    if not isinstance(module, SparseLayer):
        return torch.ones(weight_shape(module)[:2], dtype=torch.bool)
    mask = module.topology.to_mask().view(module.weight_shape)
    return mask.flatten(2).any(2) if mask.dim() > 2 else mask


def _spread(kept: Tensor, repeat: int) -> Tensor:
    """The features of these channels, `repeat` consecutive ones for each."""
    return (kept[:, None] * repeat + torch.arange(repeat)).reshape(-1)


def _keep_rows(module: Any, kept: Tensor, optimizer: Optimizer | None) -> None:
    if isinstance(module, SparseLayer):
        _restrict(module, 0, kept, optimizer)
    else:
        _take(module, "weight", 0, kept, optimizer)
    _take(module, "bias", 0, kept, optimizer)
    setattr(module, width_names(module)[1], kept.numel())


def _keep_columns(module: Any, kept: Tensor, optimizer: Optimizer | None) -> None:
    if isinstance(module, SparseLayer):
        _restrict(module, 1, kept, optimizer)
    else:
        _take(module, "weight", 1, kept, optimizer)
    setattr(module, width_names(module)[0], kept.numel())


def _keep_features(norm: Any, kept: Tensor, optimizer: Optimizer | None) -> None:
    for name in ("weight", "bias", "running_mean", "running_var"):
        _take(norm, name, 0, kept, optimizer)
    norm.num_features = kept.numel()


def _take(module: nn.Module, name: str, dim: int, kept: Tensor, optimizer: Optimizer | None) -> None:
    tensor = getattr(module, name)
    if tensor is None:
        return
    kept = kept.to(tensor.device)
    if not isinstance(tensor, nn.Parameter):
        module._buffers[name] = tensor.index_select(dim, kept)
        return
    _shrink_state(tensor, optimizer, lambda state: state.index_select(dim, kept))
    tensor.grad = None
    swap_data(tensor, tensor.detach().index_select(dim, kept))


def _restrict(layer: SparseLayer, dim: int, kept: Tensor, optimizer: Optimizer | None) -> None:
    """A sparse layer with fewer rows (dim 0) or input channels (dim 1)."""
    topology, taps = layer.topology, layer.matrix_shape[1] // layer.weight_shape[1]
    where = topology.rows() if dim == 0 else topology.indices.long().div(taps, rounding_mode="floor")
    new_place = torch.full((layer.weight_shape[dim],), -1, device=where.device)
    new_place[kept.to(where.device)] = torch.arange(kept.numel(), device=where.device)
    stays = new_place[where] >= 0
    rows, columns = topology.rows()[stays], topology.indices.long()[stays]
    if dim == 0:
        rows = new_place[rows]
    else:
        columns = new_place[columns.div(taps, rounding_mode="floor")] * taps + columns % taps
    shape = list(layer.weight_shape)
    shape[dim] = kept.numel()
    _shrink_state(layer.values, optimizer, lambda state: state[stays])
    values = layer.values.detach()[stays]
    layer.weight_shape = tuple(shape)
    layer.replace(Topology.from_indices(rows.cpu(), columns.cpu(), layer.matrix_shape), values)


def _shrink_state(parameter: Tensor, optimizer: Optimizer | None, shrink: Any) -> None:
    for key, state in (optimizer.state.get(parameter, {}) if optimizer is not None else {}).items():
        if isinstance(state, Tensor) and state.shape == parameter.shape:
            optimizer.state[parameter][key] = shrink(state)  # type: ignore[union-attr]
