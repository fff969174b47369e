"""Small dense: the same network with fewer channels in every layer, until it has the wanted number of weights.

The baseline "Small-Dense" of Evci et al. 2020, arXiv 1911.11134, section 4.1. Differs from the paper in:

1. Each layer keeps the same share of its channels, found by bisection, so that the weights are as many as fit within
   the density; the paper's widths are found by trial (0.34 for ResNet-50 at 10 %, in their notebook).
2. Channels are taken from the full network as it was drawn; weights are scaled by sqrt(fan-in before / after).
3. The shares may fall or rise from the first hidden layer to the last (`taper`).

The method `search`, for which depth and widths are Optuna's choice (Akiba et al. 2019, arXiv 1907.10902), trains
networks of this kind; the search itself is `tithe.tune.search`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from tithe.errors import UsageError
from tithe.methods.base import Method, check_fraction
from tithe.nn.channels import Space, spaces, weight_shape
from tithe.nn.convert import CONVERT, sparse_layers
from tithe.resize import keep_channels


class SmallDense(Method):
    """Shrinks a dense model to a fraction of its weights and trains that (Evci et al. 2020, section 4).

    Args:
        model: ordinary; `torch.fx` must be able to follow its forward.
        optimizer: holds its parameters; make it from them before, they stay the same objects.
        density: fraction of the weights of linear and convolution layers that the small network may have.
        taper: share of its channels that the last hidden layer keeps, over the first one's; logarithms in between. No
            layer keeps more than it has.

    Raises:
        UsageError: a density or taper out of range, too little density for a channel in each layer, or no channels to
            remove.

    >>> import torch, tithe
    >>> model = torch.nn.Sequential(torch.nn.Linear(64, 300), torch.nn.ReLU(), torch.nn.Linear(300, 10))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> method = tithe.SmallDense(model, optimizer, density=0.1)
    >>> model
    Sequential(
      (0): Linear(in_features=64, out_features=30, bias=True)
      (1): ReLU()
      (2): Linear(in_features=30, out_features=10, bias=True)
    )
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, *, density: float, taper: float = 1.0) -> None:
        check_fraction(density=density)
        if not 0.001 <= taper <= 1000:
            raise UsageError(f"taper={taper!r} was given; allowed is 0.001 to 1000, and 1 keeps all shares equal")
        super().__init__(model, optimizer)
        found = removable(model)
        before = {module: math.prod(weight_shape(module)[1:]) for module in weighty(model)}
        total = sum(map(math.prod, map(weight_shape, before)))
        sizes = _sizes(found, list(before), density * total, taper)
        for space, size in sizes.items():
            keep_channels(space, torch.arange(size), optimizer)
        with torch.no_grad():
            for module, fan_in in before.items():
                module.weight.mul_(math.sqrt(fan_in / math.prod(weight_shape(module)[1:])))


def removable(model: nn.Module) -> list[Space]:
    """The spaces of a model from which channels may be removed.

    Raises:
        UsageError: there are none, or the model has been sparsified.
    """
    if sparse_layers(model):
        raise UsageError(
            "the model has sparse layers, and this method removes channels of an ordinary one; give it the model as it "
            "was before tithe.sparsify (tithe.densify makes an ordinary one)"
        )
    found = spaces(model)
    if not found:
        raise UsageError(
            f"the model ({type(model).__name__}) has no channels to remove: it has no hidden layer, or torch.fx cannot "
            "follow its forward; take a method that prunes weights"
        )
    return found


def weighty(model: nn.Module) -> list[Any]:
    """The ordinary linear and convolution layers."""
    return [module for module in model.modules() if type(module) in CONVERT]


def weights_with(sizes: dict[Space, int], modules: list[Any]) -> int:
    """How many weights the layers would have if the spaces had these sizes."""
    share = {}
    for space, size in sizes.items():
        for module in [*space.writers.values()]:
            share[module, 0] = size / space.size
        for module in [*space.readers.values()]:
            share[module, 1] = size / space.size
    return sum(
        round(math.prod(weight_shape(module)) * share.get((module, 0), 1.0) * share.get((module, 1), 1.0))
        for module in modules
    )


def too_few(wanted: float, least: int) -> UsageError:
    """The error where a density leaves a layer without channels."""
    return UsageError(
        f"the density leaves {wanted:.0f} weights, but with one channel in each layer the network has {least} already; "
        "give more density"
    )


def _sizes(found: list[Space], modules: list[Any], wanted: float, taper: float) -> dict[Space, int]:
    """The largest shares of channels, tapering so, with which the weights are at most `wanted`."""
    shares = [taper ** (place / max(1, len(found) - 1)) for place in range(len(found))]

    def at(first: float) -> dict[Space, int]:
        pairs = zip(found, shares, strict=True)
        return {space: min(space.size, max(1, math.floor(first * share * space.size))) for space, share in pairs}

    if weights_with(at(0.0), modules) > wanted:
        raise too_few(wanted, weights_with(at(0.0), modules))
    low, high = 0.0, 1 / min(shares)  # there everything is kept
    if weights_with(at(high), modules) <= wanted:
        return at(high)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if weights_with(at(middle), modules) <= wanted else (low, middle)
    return at(low)
