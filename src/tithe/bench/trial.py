"""One system that trains one row: a pass of a layer, or a training step of a network, ready to be called."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD

from tithe.bench.contestants import LAYOUTS, System, converted, layers
from tithe.bench.rows import CLASSES, Row

LEARNING_RATE = 1e-3  # small: the same batch is trained on many times
MOMENTUM = 0.9


class Trial(ABC):
    """A model, sparse or dense, with its batch."""

    def __init__(self, system: System, model: nn.Module, masks: dict[str, Tensor], x: Tensor) -> None:
        self.system = system
        self.model = model if system.dense else converted(system, model, masks)
        if system.dense and system.layout == "channels_last":
            # torch types this one overload as for tensors only
            self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._names = list(masks)
        self.x = LAYOUTS[system.layout](x)

    def set_threads(self, threads: int) -> None:
        """Use so many, in torch and in the system's own runtime."""
        torch.set_num_threads(threads)
        if self.system.set_threads is not None:
            self.system.set_threads(threads)

    @abstractmethod
    def run(self) -> None:
        """What is timed."""

    @abstractmethod
    def results(self, masks: dict[str, Tensor]) -> dict[str, Tensor]:
        """What one pass computes, to be compared: float32 tensors by name."""

    def forget(self) -> None:
        """Let gradients go, which are memory."""
        self.model.zero_grad()
        self.x.grad = None

    def _autocast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.system.autocast)

    def _weight_gradients(self, masks: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Of the existing weights of each layer, [nnz], row by row."""
        for name in self._names:
            layer = self.model.get_submodule(name)
            if self.system.gradient is not None:
                yield f"weight gradient of layer {name}", self.system.gradient(layer)
            else:
                yield f"weight gradient of layer {name}", layers(self.model)[name].weight.grad[masks[name]]  # type: ignore[index]


class LayerTrial(Trial):
    """Forward, and the gradients of input, weights and bias, through autograd."""

    def __init__(self, system: System, model: nn.Module, masks: dict[str, Tensor], x: Tensor) -> None:
        super().__init__(system, model, masks, x)
        # A copy of the user's batch, so that gradients are the trial's own; its layout is kept.
        self.x = self.x.detach().requires_grad_()
        with self._autocast(), torch.no_grad():
            y = self.model(self.x)
        # The next layer's gradient comes in the layout of what this layer gave it; the same numbers for everybody.
        numbers = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
        self._dy = torch.empty_like(y).copy_(numbers)

    def run(self) -> None:
        """One training pass."""
        self.forget()
        with self._autocast():
            y = self.model(self.x)
        y.backward(self._dy)

    def results(self, masks: dict[str, Tensor]) -> dict[str, Tensor]:
        """Output, and the gradients of input, weights and bias."""
        self.forget()
        with self._autocast():
            y = self.model(self.x)
        y.backward(self._dy)
        assert self.x.grad is not None
        found = {"output": y.detach(), "input gradient": self.x.grad}
        found |= dict(self._weight_gradients(masks))
        for bias in (parameter for name, parameter in self.model.named_parameters() if name.endswith("bias")):
            assert bias.grad is not None
            found["bias gradient"] = bias.grad
        return _compared(found)


class StepTrial(Trial):
    """Forward, cross-entropy, backward, a step of SGD with momentum."""

    def __init__(self, system: System, model: nn.Module, masks: dict[str, Tensor], x: Tensor) -> None:
        super().__init__(system, model, masks, x)
        self._labels = torch.randint(CLASSES, (len(x),), generator=torch.Generator().manual_seed(1))
        self._optimizer = SGD(self.model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, fused=True)

    def run(self) -> None:
        """One training step."""
        self._optimizer.zero_grad()
        self._loss().backward()
        self._optimizer.step()

    def results(self, masks: dict[str, Tensor]) -> dict[str, Tensor]:
        """Loss and weight gradients, without dropout, which draws other numbers for another layout."""
        dropouts = [module for module in self.model.modules() if isinstance(module, nn.Dropout)]
        for module in dropouts:
            module.eval()
        self._optimizer.zero_grad()
        loss = self._loss()
        loss.backward()
        for module in dropouts:
            module.train()
        return _compared({"loss": loss.detach()} | dict(self._weight_gradients(masks)))

    def _loss(self) -> Tensor:
        with self._autocast():
            scores = self.model(self.x)
        return F.cross_entropy(scores.float(), self._labels)


def trial(system: System, row: Row, model: nn.Module, masks: dict[str, Tensor], x: Tensor) -> Trial:
    """A trial on a copy of the dense model, whose missing weights are zero."""
    made = StepTrial if row.kind == "step" else LayerTrial
    return made(system, copy.deepcopy(model), masks, x)


def _compared(found: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.float().clone() for name, tensor in found.items()}
