"""The part that methods share which rewire sparse layers: when it is time, what may go wrong, what was done."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.optim import Optimizer

from tithe import rewire
from tithe.errors import UsageError
from tithe.methods.base import Method, Rewiring, check_fraction, check_learning, check_steps
from tithe.methods.health import Watch, all_finite
from tithe.nn.convert import CONVERT, sparse_layers
from tithe.rewire import LayerPlan
from tithe.schedule import SCHEDULES


class Driver(Method):
    """Base of the methods that rewire a model's sparse layers; all of them take part.

    Raises:
        UsageError: a model without sparse layers, or an optimizer that does not hold them.
    """

    heals: ClassVar[bool] = False  # whether growth looks for paths where the network is cut through

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        super().__init__(model, optimizer)
        self.layers = sparse_layers(model)
        if not self.layers:
            raise _no_sparse_layer(model)
        for name, layer in self.layers.items():
            check_learning(name, layer.values)
        rewire.check(self.layers, optimizer)
        self._health = Watch(self.layers)

    def step(self) -> None:
        """Count an optimizer step; rewire where it is time."""
        super().step()
        due = self._is_due()
        finite = self._is_finite() if due or self.scouting else True
        self._after_optimizer(finite)
        self._health.step(self.steps, self._advice())
        if due:
            self.history.append(self._rewire(finite))
        self._before_next()

    def state_dict(self) -> dict[str, Any]:
        """Steps, history and what the watch has seen; numbers, strings, lists, dicts and tensors only."""
        return super().state_dict() | self._health.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was saved; load the model's and the optimizer's state first."""
        super().load_state_dict(state)
        self._health.load_state_dict(state)

    def _owes(self) -> bool:
        """Whether the last rewiring was skipped: who has to prune tries again in the next step."""
        return bool(self.history) and self.history[-1].skipped is not None

    # What subclasses say.

    def _is_due(self) -> bool:
        """Whether this step ends in a rewiring."""
        return False

    def _rate(self) -> float:
        """The fraction of each layer's weights to drop now."""
        return 0.0

    def _plans(self, rate: float) -> dict[str, LayerPlan]:
        """What each layer drops and grows."""
        raise NotImplementedError

    def _obstacle(self) -> str | None:
        """Why there can be no rewiring now, beside gradients that are not finite."""
        return None

    def _after_optimizer(self, finite: bool) -> None:
        """Right after the optimizer's step."""

    def _before_next(self) -> None:
        """After all that is due in this step."""

    def _buffers(self) -> dict[str, Tensor]:
        topologies = {id(layer.packed) for layer in self.layers.values()}
        return {name: buffer for name, buffer in super()._buffers().items() if id(buffer) not in topologies}

    # One rewiring.

    def _rewire(self, finite: bool) -> Rewiring:
        rate = self._rate()
        obstacle = self._obstacle() if finite else "a gradient or a weight was not finite"
        if obstacle is not None:
            return Rewiring(self.steps, rate, 0, 0, skipped=obstacle)
        return self._apply(self._plans(rate), rate)

    def _apply(self, plans: Mapping[str, LayerPlan], rate: float) -> Rewiring:
        rewire.check(self.layers, self.optimizer)
        self._before_layers_change(plans)
        rewire.apply(self.layers, self.optimizer, plans)
        self._health.anew()
        counts = [(int(p.drop.sum()), p.grow.numel()) for p in plans.values()]
        return Rewiring(self.steps, rate, sum(d for d, _ in counts), sum(g for _, g in counts))

    def _before_layers_change(self, plans: Mapping[str, LayerPlan]) -> None:
        """The plans are made and will be carried out now."""

    def _is_finite(self) -> bool:
        return all_finite(self.layers)

    def _advice(self) -> str:
        heal = "the next rewiring grows where a path can be. " if self.heals else ""
        return f"{heal}More density avoids it"


def _no_sparse_layer(model: nn.Module) -> UsageError:
    if any(type(module) in CONVERT for module in model.modules()):
        return UsageError("the model has no sparse layer; call tithe.sparsify(model, density=...) first")
    return UsageError(
        f"the model ({type(model).__name__}) has no nn.Linear or nn.Conv2d that could be sparse, so there is nothing "
        "to prune; train it with tithe.Dense or as it is"
    )


class Periodic(Driver):
    """Base of the methods that drop and grow every so many steps, a fraction that falls with time.

    Args:
        model: holds the sparse layers; all of them take part.
        optimizer: holds their values.
        every: steps from one rewiring to the next.
        total_steps: steps of the whole training; the last rewiring comes before.
        rate: fraction of each layer's weights to drop at first, above 0 and at most 1.
        schedule: "cosine", "cosine-to-zero" or "linear", from `rate` to almost nothing or nothing, or "constant".
        stop: fraction of the training after which the topology stays, and at which the schedule ends.

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
        rate: float,
        schedule: str = "constant",
        stop: float = 1.0,
    ) -> None:
        check_steps(every=every, total_steps=total_steps)
        check_fraction(rate=rate, stop=stop)
        if schedule not in SCHEDULES:
            raise UsageError(f"schedule={schedule!r} was given; allowed are {', '.join(map(repr, SCHEDULES))}")
        super().__init__(model, optimizer)
        self.every, self.total_steps, self.rate, self.schedule = every, total_steps, rate, schedule
        self.last_step = round(stop * total_steps)
        if every >= self.last_step:
            warnings.warn(
                f"every={every} was given, so in {self.last_step} steps there will be no rewiring and the topology "
                "stays as it is; give less",
                stacklevel=3,
            )

    @property
    def settled(self) -> bool:
        """Whether the next rewiring would come too late."""
        return self.steps - self.steps % self.every + self.every >= self.last_step

    def _is_due(self) -> bool:
        return self.steps % self.every == 0 and self.steps < self.last_step

    def _rate(self) -> float:
        return SCHEDULES[self.schedule](self.steps, self.last_step, self.rate)

    @abstractmethod
    def _plans(self, rate: float) -> dict[str, LayerPlan]: ...
