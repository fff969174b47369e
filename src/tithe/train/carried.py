"""A recipe's learning rate, tuned for another network, carried to this one by SuPar (`tithe.supar`)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import tithe
from tithe.errors import UsageError
from tithe.methods import Entry, find
from tithe.nn.supar import Size, sizes, supar
from tithe.train import models
from tithe.train.data import Dataset
from tithe.train.recipe import Recipe

DENSE = "dense"
_ALLOWED = "write dense (the same network), MODEL or MODEL@DENSITY, such as mlp:128-128 or wrn-16-2@0.2"


def parameters(recipe: Recipe, model: nn.Module, dataset: Dataset) -> Any:
    """What the optimizer is made of: the model's parameters, or SuPar's groups of them.

    Raises:
        UsageError: the base is not understood or has other layers, or the method's density is not known yet.
    """
    if recipe.supar is None:
        return model.parameters()
    _check_method(find(recipe.method))
    base = _base(recipe, recipe.supar, dataset)
    return supar(model, recipe.lr, base, optimizer="sgd", weight_decay=recipe.weight_decay)


def _check_method(entry: Entry) -> None:
    if entry.start != "sparse" and entry.name != "dense":
        raise UsageError(
            f"method {entry.name} decides how many weights there are after training has begun, so --supar has no "
            "density to go by: leave it out, or take static, set, rigl, sparse-momentum, dsr, deepr or dense."
        )


def _base(recipe: Recipe, text: str, dataset: Dataset) -> dict[str, Size] | None:
    """The sizes of the network that the learning rate was tuned for; None: this one, dense."""
    name, _, density = text.partition("@")
    if text == DENSE:
        return None
    with torch.random.fork_rng(devices=[]):
        model = models.build(name, tuple(dataset.x_train.shape[1:]), dataset.classes)
        if density:
            budget = recipe.budget if find(recipe.method).start == "sparse" else "erk"
            tithe.sparsify(model, _density(text, density), budget=budget, kernel="sparse")
    return sizes(model)


def _density(text: str, density: str) -> float:
    try:
        number = float(density)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1:
        raise UsageError(f"--supar {text} is not understood: {_ALLOWED}; a density is above 0 and at most 1.")
    return number
