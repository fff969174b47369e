"""The network that is trained, sparse or dense: how it is made from a recipe, and how large it is."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Optimizer

import tithe
from tithe.methods import METHODS
from tithe.nn import sparse_layers
from tithe.train import models
from tithe.train.data import Dataset
from tithe.train.recipe import Recipe, timetable


@dataclass
class Network:
    """What is trained: the model, the optimizer of its parameters and, for the sparse half, what rewires both."""

    model: nn.Module
    optimizer: Optimizer
    method: Any | None

    @property
    def scouting(self) -> bool:
        """Whether dense accumulators are alive."""
        return self.method is not None and self.method.scouting

    def nnz(self) -> tuple[int, ...]:
        """Weights of each sparse layer."""
        return tuple(layer.nnz for layer in sparse_layers(self.model).values())


def sparse_network(recipe: Recipe, dataset: Dataset) -> Network:
    """The recipe's network, sparse, with what rewires it."""
    model = sparse_model(recipe, dataset)
    optimizer = optimizer_for(recipe, model.parameters())
    steps = timetable(recipe, len(dataset.y_train))
    options = {name: getattr(recipe, name) for name in ("rate", "scout_steps") if getattr(recipe, name) is not None}
    method = METHODS[recipe.method](
        model, optimizer, every=steps.rewire_every, total_steps=steps.total_steps, **options
    )
    return Network(model, optimizer, method)


def dense_network(recipe: Recipe, dataset: Dataset) -> Network:
    """The same network from the same seed, without `sparsify` and without a method."""
    model = dense_model(recipe, dataset)
    return Network(model, optimizer_for(recipe, model.parameters()), None)


def sparse_model(recipe: Recipe, dataset: Dataset) -> nn.Module:
    """The recipe's model, sparse."""
    model = dense_model(recipe, dataset)
    generator = torch.Generator().manual_seed(recipe.seed)
    # The kernel is not chosen by the clock: a resumed run could choose another, and end with other bits.
    return tithe.sparsify(model, recipe.density, budget=recipe.budget, generator=generator, kernel="sparse")


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


def count_weights(model: nn.Module) -> tuple[int, int]:
    """Weights that exist and logical weights, over all linear and convolution layers."""
    layers = weight_layers(model).values()
    return sum(nnz for _, nnz in layers), sum(math.prod(shape) for shape, _ in layers)
