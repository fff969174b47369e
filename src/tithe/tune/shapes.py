"""Widths and depths of the models whose names say them: multi-layer perceptrons and wide residual networks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from tithe.errors import UsageError
from tithe.train import models
from tithe.train.network import count_weights

Shape = tuple[int, ...]
_ALIASES = {"lenet-300-100": "mlp:300-100"}


@dataclass(frozen=True)
class Mlp:
    """Hidden layers of these widths."""

    widths: tuple[int, ...]

    @property
    def depth(self) -> int:
        """Hidden layers."""
        return len(self.widths)

    @property
    def deepest(self) -> int:
        """The greatest depth that is tried."""
        return self.depth + 2

    @property
    def taper(self) -> float:
        """Last width over first."""
        return self.widths[-1] / self.widths[0]

    def scaled(self, width: float, depth: int) -> str:
        """The name with all widths times `width`, spread over another depth, logarithms in between."""
        return _mlp([max(1, round(width * each)) for each in self._spread(depth)])

    def within(self, weights: float, depth: int, taper: float, shape: Shape, classes: int) -> dict[str, Any]:
        """The fields of a recipe for the widest network of this depth and taper with at most so many weights."""
        inputs, steps = math.prod(shape), max(1, depth - 1)

        def at(first: float) -> list[int]:
            return [max(1, math.floor(first * taper ** (place / steps))) for place in range(depth)]

        if _weights(at(0), inputs, classes) > weights:
            raise _too_few(weights, f"a perceptron of {depth} hidden layers", _weights(at(0), inputs, classes))
        low, high = 0.0, weights
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if _weights(at(middle), inputs, classes) <= weights else (low, middle)
        return {"model": _mlp(at(low)), "method": "dense"}

    def _spread(self, depth: int) -> list[float]:
        if depth == 1 or self.depth == 1:
            return [float(self.widths[0])] * depth
        places = [place * (self.depth - 1) / (depth - 1) for place in range(depth)]
        return [self._between(place) for place in places]

    def _between(self, place: float) -> float:
        left = min(int(place), self.depth - 2)
        low, high = self.widths[left], self.widths[left + 1]
        return low * (high / low) ** (place - left)


@dataclass(frozen=True)
class Wrn:
    """wrn-D-K with D = 6 blocks + 4."""

    blocks: int  # in each of the three groups: what depth means here
    width: int
    taper = 1.0  # of the shares of channels that are kept

    @property
    def depth(self) -> int:
        """Blocks in each group."""
        return self.blocks

    @property
    def deepest(self) -> int:
        """The greatest depth that is tried."""
        return self.blocks + 1

    def scaled(self, width: float, depth: int) -> str:
        """The name with its width times `width`, a whole number again."""
        return _wrn(depth, max(1, round(width * self.width)))

    def within(self, weights: float, depth: int, taper: float, shape: Shape, classes: int) -> dict[str, Any]:
        """The fields of a recipe for a network of this depth whose channels are shrunk to so many weights."""
        width = self.width
        while (whole := weights_of(_wrn(depth, width), shape, classes)) < weights:
            width += 1
        return _shrunk(_wrn(depth, width), weights / whole, taper)


Family = Mlp | Wrn


def named(model: str) -> Family | None:
    """What a model's name says about its widths and depth; None: nothing."""
    if found := re.fullmatch(r"mlp:([0-9]+(?:-[0-9]+)*)", _ALIASES.get(model, model)):
        return Mlp(tuple(int(width) for width in found[1].split("-")))
    if found := re.fullmatch(r"wrn-([0-9]+)-([0-9]+)", model):
        return Wrn((int(found[1]) - 4) // 6, int(found[2]))
    return None


def family(model: str) -> Family:
    """The same.

    Raises:
        UsageError: it says nothing.
    """
    if found := named(model):
        return found
    raise UsageError(
        f"the name of model {model} does not say its widths and depth, so there are none to choose: take "
        "mlp:W1-W2-..., lenet-300-100 or wrn-D-K."
    )


def within(model: str, share: float, params: Mapping[str, float], shape: Shape, classes: int) -> dict[str, Any]:
    """The fields of a recipe for a dense network with at most a share of the model's weights.

    Where the model's name says neither widths nor depth, it is that model with fewer channels.

    Args:
        model: its name.
        share: of its weights, (0, 1].
        params: `depth` and `taper`, as far as they were chosen.
        shape: of one example.
        classes: how many.

    Raises:
        UsageError: so few weights are less than one channel in each layer.
    """
    found = named(model)
    if found is None:
        return _shrunk(model, share, params.get("taper", 1.0))
    depth, taper = int(params.get("depth", found.depth)), params.get("taper", found.taper)
    return found.within(share * weights_of(model, shape, classes), depth, taper, shape, classes)


def weights_of(model: str, shape: Shape, classes: int) -> int:
    """Weights of the linear and convolution layers of a dense model; nothing is computed."""
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        return count_weights(models.build(model, shape, classes))[1]


def _mlp(widths: Sequence[int]) -> str:
    return f"mlp:{'-'.join(map(str, widths))}"


def _shrunk(model: str, density: float, taper: float) -> dict[str, Any]:
    return {"model": model, "method": "small-dense", "density": density, "taper": taper}


def _wrn(blocks: int, width: int) -> str:
    return f"wrn-{6 * blocks + 4}-{width}"


def _weights(widths: Sequence[int], inputs: int, classes: int) -> int:
    return sum(first * second for first, second in pairwise([inputs, *widths, classes]))


def _too_few(weights: float, what: str, least: int) -> UsageError:
    return UsageError(
        f"the density leaves {weights:.0f} weights, but {what} has {least} already with one channel in each; give more "
        "density."
    )
