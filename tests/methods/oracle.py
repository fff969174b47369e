"""Sparse momentum as the paper has it: dense weights under masks, the full dense momentum kept every step.

Slow and plain on purpose, and written without tithe's code: lists, loops and Python's own sort.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor


class Oracle:
    """SGD with Nesterov momentum on dense double weights; what does not exist is held at zero."""

    def __init__(self, weights: dict[str, Tensor], masks: dict[str, Tensor], others: list[Tensor]) -> None:
        self.weights = {n: w.clone().double() for n, w in weights.items()}
        self.masks = {n: m.clone() for n, m in masks.items()}
        self.others = [p.clone().double() for p in others]  # biases and the like
        self.momentum = {n: torch.zeros_like(w) for n, w in self.weights.items()}
        self.mean: dict[str, float] = {}  # mean |momentum| of the existing weights at the last rewiring
        self.other_momentum = [torch.zeros_like(p) for p in self.others]

    def step(self, loss: Callable, lr: float, decay: float, weight_decay: float) -> None:
        tensors = [*self.weights.values(), *self.others]
        leaves = [t.clone().requires_grad_() for t in tensors]
        names = list(self.weights)
        value = loss(dict(zip(names, leaves, strict=False)), leaves[len(names) :])
        gradients = torch.autograd.grad(value, leaves)
        buffers = [*self.momentum.values(), *self.other_momentum]
        masks = [*self.masks.values(), *[torch.ones_like(p, dtype=torch.bool) for p in self.others]]
        for tensor, gradient, buffer, mask in zip(tensors, gradients, buffers, masks, strict=True):
            direction = gradient + weight_decay * tensor
            buffer.mul_(decay).add_(direction)
            tensor.sub_(lr * (direction + decay * buffer) * mask)

    def rewire(self, rate: float, redistribute: bool, grown_momentum: bool) -> None:
        share = self._shares()
        dropped = {n: self._drop(n, rate, share[n] * len(share) > 1) for n in self.masks}
        for name, positions in dropped.items():
            for position in positions:
                self.masks[name].view(-1)[position] = False
                self.weights[name].view(-1)[position] = 0.0
        counts = {n: len(p) for n, p in dropped.items()}
        grown = self._spread(sum(counts.values()), share) if redistribute else counts
        for name, count in grown.items():
            scores = self.momentum[name].abs().view(-1).tolist()
            free = [i for i in range(len(scores)) if not self.masks[name].view(-1)[i]]
            for position in sorted(free, key=lambda i: (-scores[i], i))[:count]:
                self.masks[name].view(-1)[position] = True
                if not grown_momentum and position not in dropped[name]:
                    self.momentum[name].view(-1)[position] = 0.0

    def _shares(self) -> dict[str, float]:
        means = {n: float(self.momentum[n][m].abs().mean()) for n, m in self.masks.items()}
        self.mean = means
        return {n: mean / sum(means.values()) for n, mean in means.items()}

    def _drop(self, name: str, rate: float, grows: bool) -> list[int]:
        mask, weight = self.masks[name].view(-1), self.weights[name].view(-1)
        existing = [i for i in range(mask.numel()) if mask[i]]
        if len(existing) > 0.8 * mask.numel() and grows:
            rate = min(rate, 1 - len(existing) / mask.numel())
        count = min(math.ceil(rate * len(existing)), len(existing) - 1)
        return sorted(existing, key=lambda i: (abs(float(weight[i])), i))[:count]

    def _spread(self, total: int, share: dict[str, float]) -> dict[str, int]:
        free = {n: int((~m).sum()) for n, m in self.masks.items()}
        # The rule that is not the paper's: a place below 1 % of the layer's mean |momentum| counts as without a signal.
        signal = {n: int((~m & (self.momentum[n].abs() > 0.01 * self.mean[n])).sum()) for n, m in self.masks.items()}
        cap = {n: min(int(0.99 * free[n]), signal[n]) for n in free}
        if sum(cap.values()) < total:
            cap = signal if sum(signal.values()) >= total else free
        # Layers that would overflow are filled; the rest is spread over the others by their shares, and so on.
        full: set[str] = set()
        while True:
            rest = total - sum(cap[n] for n in full)
            open_share = sum(share[n] for n in share if n not in full)
            ideal = {n: float(cap[n]) if n in full else rest * share[n] / open_share for n in share}
            over = {n for n in share if n not in full and ideal[n] > cap[n]}
            if not over:
                break
            full |= over
        counts = {n: math.floor(ideal[n] + 1e-9) for n in ideal}
        order = list(ideal)
        while sum(counts.values()) < total:
            open_layers = [n for n in order if counts[n] < cap[n]]
            best = max(open_layers, key=lambda n: (ideal[n] - counts[n], -order.index(n)))
            counts[best] += 1
        return counts
