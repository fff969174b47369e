"""What a method that scouts gets to see of a layer: the passes that its weights learn from.

A backward pass need not be for the weights: `torch.autograd.grad(loss, x)`, for an adversarial example or a saliency
map, makes every layer's output gradient too. So what a pass brings is held until the weights themselves get their
gradient in the same backward pass.
"""

from __future__ import annotations

import torch
from torch import Tensor

NO_BACKWARD = -1  # torch's own word for it


class Record:
    """The passes through one layer since the optimizer's last step."""

    def __init__(self) -> None:
        self.passes: list[tuple[Tensor, Tensor]] = []  # input and output gradient; the weights learn from these
        # The same, with the backward pass that brought it: the weights have not been reached, and may never be. The
        # number tells apart passes that lie within each other too, as they do where a layer is recomputed.
        self.pending: list[tuple[int, Tensor, Tensor]] = []

    def watch(self, x: Tensor, y: Tensor) -> None:
        """Wait for the gradient of y, the layer's output for x."""
        if _backward() == NO_BACKWARD:  # else the layer is being recomputed, and the pass that is on goes on
            self.pending.clear()
        seen = x.detach()
        y.register_hook(lambda dy: self.pending.append((_backward(), seen, dy.detach())))

    def reached(self) -> None:
        """The backward pass that is on has come to the weights."""
        now = _backward()
        self.passes += [(x, dy) for which, x, dy in self.pending if which == now]
        self.pending = [entry for entry in self.pending if entry[0] != now]

    def clear(self) -> None:
        """The optimizer's step is done."""
        self.passes, self.pending = [], []


def _backward() -> int:
    """The number of the backward pass that is on; torch counts them and uses it for checkpoints and hooks itself."""
    return torch._C._current_graph_task_id()
