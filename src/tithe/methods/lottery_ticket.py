"""Lottery tickets: train, prune, go back to how it began, and train what is left again.

Frankle & Carbin 2019, "The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks", arXiv 1803.03635,
sections 1 and 2; going back to an early step instead of the first is Frankle, Dziugaite, Roy, Carbin 2019,
"Stabilizing the Lottery Ticket Hypothesis", arXiv 1903.01611 ("0.1 % to 7 % through"). Differs from them in:

1. All trainings share the given number of steps: with n rounds each is about 1 / (n + 1) of them. The bill has all.
2. One round is the default (their "one-shot pruning"); with n rounds each keeps the same share of what is left.
3. All layers compete for the weights (their choice for deep networks, section 4); `budget="uniform"` is their
   layer-wise pruning (section 2), but for LeNet's output layer, which they prune at half the rate.
4. The optimizer forgets its state when the weights go back.
5. Weights go back to 2 % through, our choice within theirs; `rewind=0` is the first paper's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tithe.errors import UsageError
from tithe.methods.base import Rewiring, check_steps
from tithe.methods.descent import Descent, pruned, sizes_of
from tithe.methods.driver import Driver
from tithe.rewire import LayerPlan


class LotteryTicket(Driver):
    """Prunes a trained model and trains the rest from its beginning (Frankle & Carbin 2019, arXiv 1803.03635).

    Args:
        model: sparsified at density 1, so that there is something to prune.
        optimizer: holds its values.
        total_steps: steps of all trainings together.
        density: fraction of the weights that exist at last.
        budget: what each layer keeps: "global" (the largest weights of all layers), "uniform" or "erk".
        rounds: how often to train, prune and go back, before the last training.
        rewind: how far into a training the step is to which weights go back, 0 (its beginning) to below 1.

    Raises:
        UsageError: an argument out of range, a model without sparse layers or with nothing to prune.

    >>> import torch, tithe
    >>> model = tithe.sparsify(torch.nn.Sequential(torch.nn.Linear(64, 10)), density=1.0, kernel="by-density")
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> method = tithe.LotteryTicket(model, optimizer, total_steps=4000, density=0.1)
    >>> method.settled
    False
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        total_steps: int,
        density: float,
        budget: str = "global",
        rounds: int = 1,
        rewind: float = 0.02,
    ) -> None:
        check_steps(total_steps=total_steps, rounds=rounds)
        if not 0 <= rewind < 1:
            raise UsageError(f"rewind={rewind!r} was given; it is a fraction of a training, 0 to below 1, e.g. 0.02")
        if total_steps <= 2 * rounds:
            raise UsageError(f"total_steps={total_steps} was given for {rounds + 1} trainings; give each a few steps")
        super().__init__(model, optimizer)
        self.descent = Descent.of(self.layers, density, budget)
        self.total_steps, self.rounds = total_steps, rounds
        self.length = total_steps / (1 + rounds * (1 - rewind))  # of one training, in steps
        self.rewind_step = round(rewind * self.length)
        self._ends = [round(self.length + r * (self.length - self.rewind_step)) for r in range(rounds)]
        self._beginning = self._snapshot() if self.rewind_step == 0 else {}

    @property
    def settled(self) -> bool:
        """Whether the last pruning is done."""
        return self._rounds_done() == self.rounds

    def schedule_step(self, step: int) -> int:
        """From the schedule's beginning, or from where the weights went back to, to its end in each training."""
        start = max((end for end in self._ends if end < step), default=None)
        local = step if start is None else step - start + self.rewind_step
        return min(max(math.ceil(local * self.total_steps / self.length), 1), self.total_steps)

    def held_bytes(self) -> int:
        """Bytes of what the weights will go back to."""
        return sum(tensor.nbytes for tensor in self._beginning.values())

    def state_dict(self) -> dict[str, Any]:
        """Steps, history and what the weights will go back to."""
        return super().state_dict() | {"beginning": self._beginning}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was saved; load the model's and the optimizer's state first."""
        super().load_state_dict(state)
        live = self._live()
        self._beginning = {name: tensor.to(live[name].device) for name, tensor in state["beginning"].items()}

    def _is_due(self) -> bool:
        return self.steps in self._ends or self._owes()

    def _rounds_done(self) -> int:
        return sum(rewiring.skipped is None for rewiring in self.history)

    def _after_optimizer(self, finite: bool) -> None:
        if self.steps == self.rewind_step:
            self._beginning = self._snapshot()

    def _plans(self, rate: float) -> dict[str, LayerPlan]:
        done = self._rounds_done() + 1
        kept = self.descent.kept
        progress = 1.0 if done == self.rounds else (1 - kept ** (done / self.rounds)) / (1 - kept)
        return pruned(self.descent.drop(sizes_of(self.layers), progress))

    def _rewire(self, finite: bool) -> Rewiring:
        found = super()._rewire(finite)
        if found.skipped is None:
            self._go_back(last=self._rounds_done() + 1 == self.rounds)
        return found

    def _before_layers_change(self, plans: Mapping[str, LayerPlan]) -> None:
        for name, layer_plan in plans.items():
            key = f"{name}.values" if name else "values"
            self._beginning[key] = self._beginning[key][~layer_plan.drop]

    @torch.no_grad()
    def _go_back(self, last: bool) -> None:
        for name, tensor in self._live().items():
            tensor.copy_(self._beginning[name])
        self.optimizer.state.clear()
        if last:
            self._beginning = {}

    def _snapshot(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self._live().items()}

    def _live(self) -> dict[str, Tensor]:
        return dict(self.model.named_parameters()) | self._buffers()
