"""The part that methods share which grow where a gradient says so: dense gradients, for a few steps at a time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from tithe.errors import UsageError
from tithe.methods.driver import Periodic
from tithe.methods.view import LayerView
from tithe.nn.layer import SparseLayer
from tithe.rewire import LayerPlan
from tithe.scout import Average, Scout, normalised, refuse_zeroed

GRADIENT = Average(key=None, decay=0.0, scale=1.0)  # of the last step, however the optimizer averages


class Scouting(Periodic):
    """Base of the methods that take dense gradients in the last `scout_steps` steps before each rewiring."""

    scout_steps: int
    _scouts: dict[str, Scout]

    @property
    def scouting(self) -> bool:
        """Whether dense accumulators are alive now."""
        return bool(self._scouts)

    def scout_bytes(self) -> int:
        """Bytes of the dense accumulators that are alive now."""
        return sum(scout.nbytes() for scout in self._scouts.values())

    def state_dict(self) -> dict[str, Any]:
        """Steps, history and, while scouting, the accumulators; numbers, strings, lists, dicts and tensors only."""
        scouts = {name: scout.state_dict() for name, scout in self._scouts.items()}
        return super().state_dict() | {"scouts": scouts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was saved; load the model's and the optimizer's state first.

        Raises:
            UsageError: the state is of a model with other layers.
        """
        for name, saved in state.get("scouts", {}).items():
            layer = self.layers.get(name)
            if layer is None or tuple(saved["first"].shape) != layer.matrix_shape:
                raise UsageError(f"the saved state scouts layer {name!r}, which this model does not have in that shape")
        super().load_state_dict(state)
        self._stop_scouting()
        self._before_next()
        for name, saved in state["scouts"].items():
            if name in self._scouts:
                self._scouts[name].load_state_dict(saved)

    @abstractmethod
    def _average(self, name: str) -> Average:
        """How the signal averages the gradients of this layer."""

    def _start(self, scout_steps: int) -> None:
        """At the end of a constructor."""
        self.scout_steps, self._scouts = scout_steps, {}
        self._before_next()

    def _after_optimizer(self, finite: bool) -> None:
        refuse_zeroed(self._scouts.values())
        for name, scout in self._scouts.items():
            scout.fold(self._average(name), self.steps) if finite else scout.forget()

    def _before_next(self) -> None:
        """Start or stop scouting for the step to come."""
        ahead = self.every - self.steps % self.every  # steps until the next rewiring, this one included
        wanted = ahead <= self.scout_steps and self.steps + ahead < self.last_step
        if wanted and not self._scouts:
            self._scouts = {name: Scout(layer, self._average(name)) for name, layer in self.layers.items()}
        elif not wanted:
            self._stop_scouting()

    def _stop_scouting(self) -> None:
        for scout in self._scouts.values():
            scout.stop()
        self._scouts = {}

    @property
    def _scouts_always(self) -> bool:
        return self.scout_steps >= self.every

    def _obstacle(self) -> str | None:
        if not all(scout.holds_only_numbers() for scout in self._scouts.values()):
            return "a gradient or a weight was not finite"
        if any(scout.steps == 0 for scout in self._scouts.values()):
            return "a layer took no part in any step of the scouting window"
        return None

    def _is_finite(self) -> bool:
        return super()._is_finite() and all(scout.is_finite() for scout in self._scouts.values())

    def _view(self, name: str) -> LayerView:
        layer, scout, average = self.layers[name], self._scouts[name], self._average(name)
        momentum = momentum_of(self._state(layer), average)
        if momentum is None:
            momentum = scout.first.view(-1)[layer.topology.positions()]
        return LayerView(layer.topology, layer.values.detach(), momentum, scout.signal)

    def _before_layers_change(self, plans: Mapping[str, LayerPlan]) -> None:
        if self._scouts_always:
            for name, layer_plan in plans.items():
                self._hand_over(name, layer_plan.drop)
        else:
            self._stop_scouting()  # before the new layers are made: the accumulators are the larger part of the peak

    def _hand_over(self, name: str, drop: Tensor) -> None:
        """A dropped weight's momentum lives on in the accumulator."""
        layer = self.layers[name]
        state = {
            key: value[drop] for key, value in self._state(layer).items() if isinstance(value, Tensor) and value.dim()
        }
        self._scouts[name].put(layer.topology.positions()[drop], state, self._average(name))

    def _state(self, layer: SparseLayer) -> dict[str, Any]:
        return self.optimizer.state.get(layer.values, {})


def momentum_of(state: dict[str, Any], average: Average) -> Tensor | None:
    """[nnz]: the signal at the existing weights as the optimizer holds it; None where it holds none."""
    first = state.get(average.key) if average.key else None
    if first is None or average.key2 is None:
        return first
    return normalised(first, state[average.key2])
