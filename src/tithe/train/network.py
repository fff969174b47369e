"""The network that is trained, sparse or dense: how it is made from a recipe, and how large it is."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Optimizer

import tithe
from tithe.methods import Entry, find
from tithe.methods.base import Method
from tithe.nn import sparse_layers
from tithe.train import carried, models
from tithe.train.data import Dataset
from tithe.train.recipe import Recipe, timetable


@dataclass
class Network:
    """What is trained: the model, the optimizer of its parameters and, for the sparse half, what rewires both."""

    model: nn.Module
    optimizer: Optimizer
    method: Method | None
    logical_weights: int | None = None  # of the network as it was built; None: of the layers as they are

    @property
    def scouting(self) -> bool:
        """Whether dense accumulators are alive."""
        return self.method is not None and self.method.scouting

    def nnz(self) -> tuple[int, ...]:
        """Weights of each layer that exist."""
        return tuple(nnz for _, nnz in weight_layers(self.model).values())

    def weights(self) -> tuple[int, int]:
        """Weights that exist and logical weights, over all linear and convolution layers."""
        nnz, logical = count_weights(self.model)
        return nnz, self.logical_weights or logical


def sparse_network(recipe: Recipe, dataset: Dataset) -> Network:
    """The recipe's network, sparse, with what rewires it."""
    model = dense_model(recipe, dataset)
    entry = find(recipe.method)
    _, logical = count_weights(model)
    _as_it_starts(entry, recipe, model)
    optimizer = optimizer_for(recipe, carried.parameters(recipe, model, dataset))
    method = _method(entry, recipe, len(dataset.y_train), model, optimizer)
    return Network(model, optimizer, method, logical)


def _as_it_starts(entry: Entry, recipe: Recipe, model: nn.Module) -> None:
    """Make the dense model what the method is given."""
    if entry.start == "sparse":
        generator = torch.Generator().manual_seed(recipe.seed)
        # No kernel is chosen by the clock: a resumed run could choose another, and end with other bits.
        tithe.sparsify(model, recipe.density, budget=recipe.budget, generator=generator, kernel="sparse")
    elif entry.start == "dense":
        tithe.sparsify(model, 1.0, kernel="by-density")


def _method(entry: Entry, recipe: Recipe, n_train: int, model: nn.Module, optimizer: Optimizer) -> Method:
    steps = timetable(recipe, n_train)
    offered = {
        "every": steps.rewire_every,
        "total_steps": steps.total_steps,
        "density": recipe.density,
        "budget": recipe.budget,
        "seed": recipe.seed,
    }
    given = {"every": recipe.rewire_every, "rate": recipe.rate, "scout_steps": recipe.scout_steps}
    given |= {"redistribute": recipe.redistribute, "taper": recipe.taper}
    given = {name: value for name, value in given.items() if value is not None}
    return entry.make(model, optimizer, offered, given)


def dense_network(recipe: Recipe, dataset: Dataset) -> Network:
    """The same network from the same seed, without `sparsify` and without a method."""
    model = dense_model(recipe, dataset)
    return Network(model, optimizer_for(recipe, carried.parameters(recipe, model, dataset)), None)


def dense_model(recipe: Recipe, dataset: Dataset) -> nn.Module:
    """The recipe's model."""
    assert recipe.model is not None
    torch.manual_seed(recipe.seed)
    return models.build(recipe.model, tuple(dataset.x_train.shape[1:]), dataset.classes)


def optimizer_for(recipe: Recipe, parameters: Any) -> Optimizer:
    """The recipe's optimizer."""
    return SGD(
        parameters,
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )


def weight_layers(model: nn.Module) -> dict[str, tuple[tuple[int, ...], int]]:
    """Shape of the dense weight and number of weights that exist, for each linear and convolution layer in order."""
    sparse = sparse_layers(model)
    layers: dict[str, tuple[tuple[int, ...], int]] = {}
    for name, module in model.named_modules():
        if name in sparse:
            layers[name] = tuple(sparse[name].weight_shape), sparse[name].nnz
        elif isinstance(module, nn.Linear | nn.Conv2d):
            layers[name] = tuple(module.weight.shape), module.weight.numel()
    return layers


def dense_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The linear and convolution layers that are torch's own."""
    return {name: module for name, module in model.named_modules() if type(module) in (nn.Linear, nn.Conv2d)}


def count_weights(model: nn.Module) -> tuple[int, int]:
    """Weights that exist and logical weights, over all linear and convolution layers."""
    layers = weight_layers(model).values()
    return sum(nnz for _, nnz in layers), sum(math.prod(shape) for shape, _ in layers)
