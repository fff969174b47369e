"""SparseMomentum: the object in the user's loop. It counts steps, scouts, asks the plan and has it carried out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tithe import rewire
from tithe.errors import UsageError
from tithe.methods.sparse_momentum import LayerView, plan
from tithe.nn.convert import sparse_layers
from tithe.nn.layer import SparseLayer
from tithe.rewire import LayerPlan
from tithe.schedule import SCHEDULES
from tithe.scout import Average, Scout, average_of, normalised

FORGOTTEN = 0.01  # the share of the momentum that a scouting window may miss: decay^n <= 1 %, 44 steps at 0.9

WATCH_STEPS = 5  # a grown weight starts at zero, so what lies behind it feels nothing for a step or two


@dataclass(frozen=True)
class Rewiring:
    """What one rewiring did."""

    step: int
    rate: float  # fraction of each layer's weights that was to be dropped
    dropped: int  # weights, over all layers
    grown: int
    skipped: str | None = None  # why nothing was done, if so


class SparseMomentum:
    """Rewires a sparsified model by momentum (Dettmers & Zettlemoyer 2019, arXiv 1907.04840); see `plan`.

    Call `step()` once after each `optimizer.step()` and before `optimizer.zero_grad()`.

    Args:
        model: holds the sparse layers; all of them take part.
        optimizer: holds their values. Its momentum ranks the missing weights (Adam: m / (sqrt(v) + 1e-8)); where it
            keeps none, an average of the gradient with decay 0.9 does.
        every: steps from one rewiring to the next; the paper takes one epoch.
        total_steps: steps of the whole training: the schedule ends there, and the last rewiring comes before.
        rate: fraction of each layer's weights to drop at first, above 0 and at most 1.
        schedule: "cosine" or "linear", from `rate` to 0.005.
        redistribute: whether weights move between layers.
        scout_steps: steps before each rewiring in which the dense gradient is taken; by default as many as hold 99 % of
            the momentum. `every` or more: all steps, the exact choice, with one dense accumulator a layer all the time.
        grown_momentum: whether a grown weight starts with the momentum that ranked it (the paper's way) or at rest.

    Raises:
        UsageError: an argument out of range, a model without sparse layers, an optimizer that does not hold them.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        every: int,
        total_steps: int,
        rate: float = 0.5,
        schedule: str = "cosine",
        redistribute: bool = True,
        scout_steps: int | None = None,
        grown_momentum: bool = False,
    ) -> None:
        _check(every, total_steps, rate, schedule, scout_steps)
        self.layers = sparse_layers(model)
        if not self.layers:
            raise UsageError("the model has no sparse layer; call tithe.sparsify(model, density=...) first")
        rewire.check(self.layers, optimizer)
        self.optimizer = optimizer
        self.every, self.total_steps, self.rate = every, total_steps, rate
        self.schedule, self.redistribute = schedule, redistribute
        self.scout_steps = scout_steps if scout_steps is not None else self._window()
        self.grown_momentum = grown_momentum
        self.history: list[Rewiring] = []
        self.steps = 0
        self._scouts: dict[str, Scout] = {}
        self._watch_anew()
        self._toggle()

    @property
    def scouting(self) -> bool:
        """Whether dense accumulators are alive now."""
        return bool(self._scouts)

    def scout_bytes(self) -> int:
        """Bytes of the dense accumulators that are alive now."""
        return sum(scout.nbytes() for scout in self._scouts.values())

    def step(self) -> None:
        """Count an optimizer step; scout and rewire where it is time."""
        self.steps += 1
        due = self.steps % self.every == 0 and self.steps < self.total_steps
        finite = self._is_finite() if due or self._scouts else True
        for name, scout in self._scouts.items():
            scout.fold(self._average(name), self.steps) if finite else scout.forget()
        self._watch()
        if due:
            self.history.append(self._rewire(finite))
        self._toggle()

    def state_dict(self) -> dict[str, Any]:
        """Steps, history and, while scouting, the accumulators; numbers, strings, lists, dicts and tensors only."""
        return {
            "steps": self.steps,
            "watched": self._watched,
            "silent": sorted(self._silent),
            "history": [asdict(rewiring) for rewiring in self.history],
            "scouts": {name: scout.state_dict() for name, scout in self._scouts.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was saved; load the model's and the optimizer's state first.

        Raises:
            UsageError: the state is of a model with other layers.
        """
        for name, saved in state["scouts"].items():
            layer = self.layers.get(name)
            if layer is None or tuple(saved["first"].shape) != layer.matrix_shape:
                raise UsageError(f"the saved state scouts layer {name!r}, which this model does not have in that shape")
        self.steps = state["steps"]
        self._watched, self._silent = state["watched"], set(state["silent"])
        self.history = [Rewiring(**entry) for entry in state["history"]]
        self._stop_scouting()
        self._toggle()
        for name, saved in state["scouts"].items():
            if name in self._scouts:
                self._scouts[name].load_state_dict(saved)

    # One rewiring.

    def _rewire(self, finite: bool) -> Rewiring:
        rate = SCHEDULES[self.schedule](self.steps, self.total_steps, self.rate)
        if not finite or not all(scout.holds_only_numbers() for scout in self._scouts.values()):
            return Rewiring(self.steps, rate, 0, 0, skipped="a gradient or a weight was not finite")
        if any(scout.steps == 0 for scout in self._scouts.values()):
            return Rewiring(self.steps, rate, 0, 0, skipped="a layer took no part in any step of the scouting window")
        plans = plan({name: self._view(name) for name in self.layers}, rate, self.redistribute)
        plans = {name: self._with_state(name, layer_plan) for name, layer_plan in plans.items()}
        rewire.check(self.layers, self.optimizer)
        if self._scouts_always:
            for name, layer_plan in plans.items():
                self._hand_over(name, layer_plan.drop)
        else:
            self._stop_scouting()  # before the new layers are made: the accumulators are the larger part of the peak
        rewire.apply(self.layers, self.optimizer, plans)
        self._watch_anew()
        counts = [(int(p.drop.sum()), p.grow.numel()) for p in plans.values()]
        return Rewiring(self.steps, rate, sum(d for d, _ in counts), sum(g for _, g in counts))

    def _view(self, name: str) -> LayerView:
        layer, scout, average = self.layers[name], self._scouts[name], self._average(name)
        momentum = _momentum(self._state(layer), average)
        if momentum is None:
            momentum = scout.first.view(-1)[layer.topology.positions()]
        return LayerView(layer.topology, layer.values.detach(), momentum, scout.signal)

    def _with_state(self, name: str, layer_plan: LayerPlan) -> LayerPlan:
        state = self._scouts[name].state_at(layer_plan.grow, self._average(name), self.grown_momentum)
        return LayerPlan(layer_plan.drop, layer_plan.grow, state)

    def _hand_over(self, name: str, drop: Tensor) -> None:
        """A dropped weight's momentum lives on in the accumulator: the paper does not reset it."""
        layer = self.layers[name]
        state = {
            key: value[drop] for key, value in self._state(layer).items() if isinstance(value, Tensor) and value.dim()
        }
        self._scouts[name].put(layer.topology.positions()[drop], state, self._average(name))

    # Scouting.

    @property
    def _scouts_always(self) -> bool:
        return self.scout_steps >= self.every

    def _toggle(self) -> None:
        """Start or stop scouting for the step to come."""
        ahead = self.every - self.steps % self.every  # steps until the next rewiring, this one included
        wanted = ahead <= self.scout_steps and self.steps + ahead < self.total_steps
        if wanted and not self._scouts:
            self._scouts = {name: Scout(layer, self._average(name)) for name, layer in self.layers.items()}
        elif not wanted:
            self._stop_scouting()

    def _stop_scouting(self) -> None:
        for scout in self._scouts.values():
            scout.stop()
        self._scouts = {}

    def _window(self) -> int:
        return window(self.optimizer, [layer.values for layer in self.layers.values()], self.every)

    def _average(self, name: str) -> Average:
        return average_of(self.optimizer, self.layers[name].values)

    def _state(self, layer: SparseLayer) -> dict[str, Any]:
        return self.optimizer.state.get(layer.values, {})

    # Health.

    def _is_finite(self) -> bool:
        tensors = [layer.values for layer in self.layers.values()]
        tensors += [layer.values.grad for layer in self.layers.values() if layer.values.grad is not None]
        whole = all(bool(torch.isfinite(tensor.detach().sum())) for tensor in tensors)
        return whole and all(scout.is_finite() for scout in self._scouts.values())

    def _watch(self) -> None:
        """Warn of layers that no gradient reaches in the first steps and in those after a rewiring."""
        if self._watched == WATCH_STEPS:
            return
        gradients = {name: layer.values.grad for name, layer in self.layers.items()}
        self._silent &= {name for name, gradient in gradients.items() if gradient is not None and not gradient.any()}
        self._watched += 1
        if self._watched == WATCH_STEPS and self._silent:
            names = ", ".join(repr(name) for name in self.layers if name in self._silent)
            warnings.warn(
                f"step {self.steps}: no gradient reaches layer {names}, so the network is cut through there or next "
                "to it; the next rewiring grows where a path can be. More density avoids it",
                stacklevel=3,
            )

    def _watch_anew(self) -> None:
        self._watched, self._silent = 0, set(self.layers)


def window(optimizer: Optimizer, parameters: Iterable[Tensor], every: int) -> int:
    """How many steps to scout before each rewiring unless told otherwise: as many as hold 99 % of the momentum."""
    decay = max(average_of(optimizer, parameter).decay for parameter in parameters)
    return math.ceil(math.log(FORGOTTEN) / math.log(decay)) if 0 < decay < 1 else every


def _momentum(state: dict[str, Any], average: Average) -> Tensor | None:
    first = state.get(average.key) if average.key else None
    if first is None or average.key2 is None:
        return first
    return normalised(first, state[average.key2])


def _check(every: int, total_steps: int, rate: float, schedule: str, scout_steps: int | None) -> None:
    for name, value in (("every", every), ("total_steps", total_steps), ("scout_steps", scout_steps)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise UsageError(f"{name}={value!r} was given; it is a number of steps, 1 or more")
    if not 0 < rate <= 1:
        raise UsageError(f"rate={rate!r} was given; allowed is above 0 and at most 1, e.g. 0.5")
    if schedule not in SCHEDULES:
        raise UsageError(f"schedule={schedule!r} was given; allowed are {', '.join(map(repr, SCHEDULES))}")
