"""Whether a step may be trusted, and whether the network still has a path from end to end."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tithe.nn.layer import SparseLayer

WATCH_STEPS = 5  # a grown weight starts at zero, so what lies behind it feels nothing for a step or two
STARVED = 1e-4
"""A layer whose gradient is below this share of the largest layer's starves. The LeNets, VGG, WRN and ResNet-18 of
`tithe train`, sparse, begin at 0.01 or above, twenty layers of ReLU without skips or norms at 1e-7."""
_NAMED = 3  # layers that a warning names


def all_finite(layers: Mapping[str, SparseLayer]) -> bool:
    """Whether all values and their gradients are finite."""
    tensors = [layer.values for layer in layers.values()]
    tensors += [layer.values.grad for layer in layers.values() if layer.values.grad is not None]
    return all(bool(torch.isfinite(tensor.detach().sum())) for tensor in tensors)


class Watch:
    """Warns of layers that no gradient reaches, or hardly any, in the first steps and in those after a rewiring.

    Args:
        layers: by name.
        weights: what the parameter is called that holds their weights: "weight" for torch's own layers.
    """

    def __init__(self, layers: Mapping[str, nn.Module], weights: str = "values") -> None:
        self._layers, self._weights = layers, weights
        self._told: set[str] = set()  # starving layers, each named once
        self._restart()

    def anew(self) -> None:
        """The topology has changed. Who rewires more often than that is watched on, so that it is told at all."""
        if self._watched == WATCH_STEPS:
            self._restart()

    def _restart(self) -> None:
        self._watched = 0
        self._felt: dict[str, float] = {}  # the largest root mean square of the layer's gradient

    def step(self, step: int, advice: str = "") -> None:
        """Look at the gradients of one step; `advice` says what helps where sparse layers are cut through."""
        if self._watched == WATCH_STEPS:
            return
        for name, layer in self._layers.items():
            gradient = getattr(layer, self._weights).grad
            if gradient is not None:
                self._felt[name] = max(rms(gradient), self._felt.get(name, 0.0))
        self._watched += 1
        if self._watched == WATCH_STEPS:
            if advice:
                self._warn_of_silent(step, advice)
            self._warn_of_starving(step)

    def _warn_of_silent(self, step: int, advice: str) -> None:
        silent = [name for name, felt in self._felt.items() if felt == 0]
        if silent:
            names = ", ".join(map(repr, silent))
            warnings.warn(
                f"step {step}: no gradient reaches layer {names}, so the network is cut through there or next "
                f"to it; {advice}",
                stacklevel=5,
            )

    def _warn_of_starving(self, step: int) -> None:
        starving = starved(self._felt)
        if starving.keys() <= self._told:
            return
        self._told |= starving.keys()
        named = ", ".join(map(repr, list(starving)[:_NAMED]))
        more = f" and {len(starving) - _NAMED} more" if len(starving) > _NAMED else ""
        most = max(self._felt, key=lambda name: self._felt[name])
        who = f"layers {named}{more} starve" if len(starving) > 1 else f"layer {named} starves"
        warnings.warn(
            f"step {step}: {who}: down to {min(starving.values()):.0e} of the gradient of {most!r}, root mean squares "
            "over the weights that exist, so hardly anything is learned there; skip connections or norms between the "
            "layers avoid it",
            stacklevel=5,
        )

    def state_dict(self) -> dict[str, Any]:
        """Numbers and strings."""
        return {"watched": self._watched, "felt": dict(self._felt), "told": sorted(self._told)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was saved; older states have only the names of the silent."""
        self._watched = state["watched"]
        self._felt = dict(state["felt"]) if "felt" in state else dict.fromkeys(state["silent"], 0.0)
        self._told = set(state.get("told", ()))


def starved(felt: Mapping[str, float]) -> dict[str, float]:
    """The layers that starve, with their share of the largest gradient; silent layers are another matter.

    >>> starved({"fc1": 1e-9, "fc2": 1e-3, "fc3": 1e-1, "cut": 0.0})
    {'fc1': 1e-08}
    """
    most = max((size for size in felt.values() if math.isfinite(size)), default=0.0)
    return {name: size / most for name, size in felt.items() if 0 < size < STARVED * most}


def rms(gradient: Tensor) -> float:
    """Root mean square, in double: squares of small gradients vanish in float32."""
    return float(gradient.detach().double().square().mean().sqrt())
