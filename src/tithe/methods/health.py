"""Whether a step may be trusted, and whether the network still has a path from end to end."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch

from tithe.nn.layer import SparseLayer

WATCH_STEPS = 5  # a grown weight starts at zero, so what lies behind it feels nothing for a step or two


def all_finite(layers: Mapping[str, SparseLayer]) -> bool:
    """Whether all values and their gradients are finite."""
    tensors = [layer.values for layer in layers.values()]
    tensors += [layer.values.grad for layer in layers.values() if layer.values.grad is not None]
    return all(bool(torch.isfinite(tensor.detach().sum())) for tensor in tensors)


class Watch:
    """Warns of layers that no gradient reaches in the first steps and in those after a rewiring."""

    def __init__(self, layers: Mapping[str, SparseLayer]) -> None:
        self._layers = layers
        self.anew()

    def anew(self) -> None:
        """The topology has changed."""
        self._watched, self._silent = 0, set(self._layers)

    def step(self, step: int, advice: str) -> None:
        """Look at the gradients of one step; `advice` says what helps."""
        if self._watched == WATCH_STEPS:
            return
        gradients = {name: layer.values.grad for name, layer in self._layers.items()}
        self._silent &= {name for name, gradient in gradients.items() if gradient is not None and not gradient.any()}
        self._watched += 1
        if self._watched == WATCH_STEPS and self._silent:
            names = ", ".join(repr(name) for name in self._layers if name in self._silent)
            warnings.warn(
                f"step {step}: no gradient reaches layer {names}, so the network is cut through there or next "
                f"to it; {advice}",
                stacklevel=4,
            )

    def state_dict(self) -> dict[str, Any]:
        """Numbers and strings."""
        return {"watched": self._watched, "silent": sorted(self._silent)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was saved."""
        self._watched, self._silent = state["watched"], set(state["silent"])
