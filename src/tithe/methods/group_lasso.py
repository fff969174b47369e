"""Group lasso: a penalty on whole channels; those that become zero are removed, and the network really shrinks.

Wen, Wu, Wang, Chen, Li 2016, "Learning Structured Sparsity in Deep Neural Networks", arXiv 1608.03665, section 3.1
(number unchecked; channel-wise groups); removing channels while training is Lym et al. 2019, "PruneTrain: Fast Neural
Network Training by Dynamic Sparse Model Reconfiguration", arXiv 1901.09290. The penalty's strength is theirs too: 0.2
of loss and penalty in the configurations of their public code for CIFAR. Differs from them in:

1. One group holds all weights that read a channel, so groups do not overlap; PruneTrain has groups of the weights that
   write it besides. What writes it goes with it.
2. The penalty is applied as group soft thresholding after each step, so channels become exactly zero; PruneTrain adds
   it to the loss and takes below 0.0001 for zero. A channel that is zero when channels are removed next is gone.
3. Half way the weakest channels go as well, until the weights fit within the density; then training goes on without
   penalty, over the second half of the learning rate's schedule.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tithe.methods.base import Rewiring, check_fraction, check_learning, check_steps
from tithe.methods.one_shot import repeated_half, step_at
from tithe.methods.penalty import Penalised, check_penalty, step_length
from tithe.methods.small_dense import removable, too_few, weights_with, weighty
from tithe.nn.channels import Space, weight_shape
from tithe.resize import keep_channels
from tithe.rewire import group_of


class GroupLasso(Penalised):
    """Trains a dense model and removes channels (Wen et al. 2016, arXiv 1608.03665; Lym et al. 2019, PruneTrain).

    Args:
        model: ordinary; `torch.fx` must be able to follow its forward.
        optimizer: holds its parameters; they stay the same objects when they shrink.
        total_steps: steps of the whole training, fine-tuning included.
        density: fraction of the weights of linear and convolution layers that may exist at last.
        every: steps from one removal of zero channels to the next; PruneTrain takes ten epochs.
        prune_at: fraction of the training after which to remove the weakest channels.
        strength: what the sum of all groups' norms is multiplied with; None: by `share`, and `prepare(loss)` must be
            called.
        share: of the first batch's loss and penalty together, that of the penalty.

    Raises:
        UsageError: an argument out of range, a model without channels to remove, a density that leaves too few.

    >>> import torch, tithe
    >>> model = torch.nn.Sequential(torch.nn.Linear(64, 300), torch.nn.ReLU(), torch.nn.Linear(300, 10))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> method = tithe.GroupLasso(model, optimizer, total_steps=4000, density=0.1, every=450)
    >>> x, y = torch.randn(32, 64), torch.randint(10, (32,))
    >>> method.prepare(lambda: torch.nn.functional.cross_entropy(model(x), y))
    >>> method.needs_loss
    False
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        total_steps: int,
        density: float,
        every: int,
        prune_at: float = 0.5,
        strength: float | None = None,
        share: float = 0.2,
    ) -> None:
        check_steps(total_steps=total_steps, every=every)
        check_fraction(density=density)
        check_penalty(strength, share)
        super().__init__(model, optimizer)
        self.total_steps, self.every, self.prune_step = total_steps, every, step_at(prune_at, total_steps)
        self._penalise(strength, share)
        self.spaces = {space.name: space for space in removable(model)}
        for space in self.spaces.values():
            for name, reader in space.readers.items():
                check_learning(name, reader.weight)
        self.modules = weighty(model)
        self.kept = {name: torch.arange(space.size) for name, space in self.spaces.items()}  # of the first channels
        self.wanted = density * sum(math.prod(weight_shape(module)) for module in self.modules)
        least = weights_with(dict.fromkeys(self.spaces.values(), 1), self.modules)
        if least > self.wanted:
            raise too_few(self.wanted, least)

    @property
    def settled(self) -> bool:
        """Whether the last channels have been removed."""
        return self.steps >= self.prune_step

    def _penalty(self) -> float:
        return sum(float(norms(space).sum()) for space in self.spaces.values())

    def schedule_step(self, step: int) -> int:
        """The whole schedule until the pruning, its second half after it."""
        return repeated_half(step, self.prune_step, self.total_steps)

    def step(self) -> None:
        """Count an optimizer step, apply the penalty, remove channels where it is time."""
        super().step()
        if self.steps > self.prune_step:
            return
        self._shrink()
        if self.steps == self.prune_step or self.steps % self.every == 0:
            self._remove(self._too_weak() if self.steps == self.prune_step else self._zero())

    def state_dict(self) -> dict[str, Any]:
        """Steps, history, the strength and which of the first channels there are."""
        return super().state_dict() | {"kept": self.kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was saved; load the model's and the optimizer's state first (`tithe.fit_channels`)."""
        super().load_state_dict(state)
        self.kept = dict(state["kept"])
        for name, space in self.spaces.items():
            space.size = len(self.kept[name])

    @torch.no_grad()
    def _shrink(self) -> None:
        assert self.strength is not None  # `step` has seen to it
        for space in self.spaces.values():
            size = norms(space)
            for reader in space.readers.values():
                less = self.strength * step_length(self.optimizer, group_of(self.optimizer, reader.weight))
                by_channel(reader, space).mul_((1 - less / size.clamp(min=1e-30)).clamp_(min=0)[None, :, None])

    def _zero(self) -> dict[str, Tensor]:
        """Bool [size] for each space: which channels have no weight left; one of each stays."""
        found = {}
        for name, space in self.spaces.items():
            found[name] = norms(space) == 0
            found[name][int(norms(space).argmax())] = False
        return found

    def _too_weak(self) -> dict[str, Tensor]:
        """The same, and the weakest channels of all spaces until the weights fit."""
        gone = self._zero()
        sizes = {space: space.size - int(gone[name].sum()) for name, space in self.spaces.items()}
        ranked = sorted(
            (float(norm) / math.sqrt(_readers_of_one(space)), name, channel)
            for name, space in self.spaces.items()
            for channel, norm in enumerate(norms(space))
        )
        for _, name, channel in ranked:
            space = self.spaces[name]
            if weights_with(sizes, self.modules) <= self.wanted:
                break
            if not gone[name][channel] and sizes[space] > 1:
                gone[name][channel] = True
                sizes[space] -= 1
        return gone

    def _remove(self, gone: dict[str, Tensor]) -> None:
        before = self._weights()
        for name, mask in gone.items():
            if mask.any():
                left = (~mask).nonzero().reshape(-1).cpu()
                keep_channels(self.spaces[name], left, self.optimizer)
                self.kept[name] = self.kept[name][left]
        self._warn_of_one_channel([name for name, mask in gone.items() if mask.any() and len(self.kept[name]) == 1])
        self.history.append(Rewiring(self.steps, 0.0, before - self._weights(), 0))

    def _warn_of_one_channel(self, names: list[str]) -> None:
        if names and self.steps < self.prune_step:
            warnings.warn(
                f"step {self.steps}: the penalty has left one channel after layer {', '.join(map(repr, names))}, which "
                f"hardly learns anything; try a smaller strength or share than {self.share:g}",
                stacklevel=4,
            )

    def _weights(self) -> int:
        return sum(math.prod(weight_shape(module)) for module in self.modules)


def by_channel(reader: Any, space: Space) -> Tensor:
    """A view [out, size, weights] of the reader's weight: what each output takes from each channel."""
    return reader.weight.detach().view(weight_shape(reader)[0], space.size, -1)


def norms(space: Space) -> Tensor:
    """[size]: the norm of all weights that read each channel."""
    squares = [by_channel(reader, space).square().sum((0, 2)) for reader in space.readers.values()]
    return torch.stack(squares).sum(0).sqrt()


def _readers_of_one(space: Space) -> int:
    """How many weights read one channel."""
    return sum(math.prod(weight_shape(reader)) // space.size for reader in space.readers.values())
