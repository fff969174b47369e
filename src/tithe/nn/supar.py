"""SuPar: a learning rate that was tuned on one network, carried to another width and density of it.

Dey, Bergsma, Hestness 2024, "Sparse maximal update parameterization", arXiv 2405.15743, section 3, table 1. With n the
weights that a neuron really has (fan-in x density), n0 those in the network that was tuned, m = n / n0:

    hidden layer   variance of the weights ~ 1 / m      Adam's learning rate x 1 / m
    output layer   outputs divided by m                 as it was

so that activations, and their change in a step, stay the same size over widths and densities. What differs here:

1. Instead of dividing the outputs, the output layer's variance gets another 1 / m and its learning rate 1 / m: the same
   function after every step of Adam (Yang et al. 2022, arXiv 2203.03466, appendix J.2.1), and no layer is added.
2. Every layer has its own m; the first layer's comes from its density alone. The paper keeps the output layer dense. A
   sparse one has a rate too, but the logits then grow with 1 / density (twice at 25 % in our check): better keep it.
3. SGD, with or without momentum, which the paper leaves out, after the same desiderata. A gradient that comes back
   through the output layer has the size d ~ 1 / sqrt(m w), w the ratio of the output layer's widths in; a step moves a
   layer's outputs by lr d m. So learning rates are x sqrt(m_out w) / m in hidden layers, x sqrt(m_out w) for biases and
   norms, x 1 / m_out in the output layer. At density 1 these are those of Yang et al. 2022, table 3.
4. Weight decay times learning rate stays as it was, for every parameter.
5. Biases are drawn as torch draws them.

`tithe.sparsify` gives each neuron's weights variance ~ 1 / n already. All hold for a random topology that stays (the
paper's section 3); where methods move weights between layers, m is that of the first step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tithe.errors import UsageError
from tithe.nn.layer import SparseLayer

OPTIMIZERS = ("sgd", "adam")


@dataclass(frozen=True)
class Size:
    """What SuPar asks of a layer."""

    inputs: int  # width in: columns of its weight as a matrix
    fan_in: float  # weights a neuron has, the mean over neurons


def sizes(model: nn.Module) -> dict[str, Size]:
    """The sizes of a model's linear and convolution layers, in their order."""
    return {name: _size(module) for name, module in _layers(model).items()}


def supar(
    model: nn.Module,
    lr: float,
    base: nn.Module | Mapping[str, Size] | None = None,
    *,
    optimizer: str = "sgd",
    weight_decay: float = 0.0,
) -> list[dict[str, Any]]:
    """Rescale the output layer's weights, in place, and make the parameter groups for an optimizer.

    Call it once, after `tithe.sparsify` and before the first step.

    Args:
        model: with its weights as they were drawn; its last linear or convolution layer is the output layer.
        lr: the learning rate that was tuned for `base`.
        base: the network it was tuned for, with the same layers, of whatever widths and densities; its `sizes` will
            do. None: this network, dense.
        optimizer: "sgd", or "adam" for Adam and AdamW.
        weight_decay: the weight decay that was tuned for `base`.

    Returns:
        Groups with "params", "lr", "weight_decay" and "lr_scale", the group's learning rate over `lr`: where a schedule
        sets learning rates, multiply by it.

    Raises:
        UsageError: an unknown optimizer, or a base with other layers.

    >>> import torch, tithe
    >>> from torch.nn import Linear, ReLU, Sequential
    >>> make = lambda width: Sequential(Linear(64, width), ReLU(), Linear(width, 10))
    >>> model = tithe.sparsify(make(1024), density=0.1)
    >>> optimizer = torch.optim.Adam(tithe.supar(model, lr=1e-3, base=make(128), optimizer="adam"))
    """
    if optimizer not in OPTIMIZERS:
        raise UsageError(f"optimizer {optimizer!r} was given; allowed are {', '.join(map(repr, OPTIMIZERS))}")
    found = sizes(model)
    before = _base(found, base)
    scales = _SCALES[optimizer](found, before)
    *_, last = found
    _shrink_output(_layers(model)[last], found[last].fan_in / before[last].fan_in)
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter, scale in _scaled(model, scales):
        groups.setdefault(scale, []).append(parameter)
    return [
        {"params": parameters, "lr": lr * scale, "weight_decay": weight_decay / scale, "lr_scale": scale}
        for scale, parameters in groups.items()
    ]


@dataclass(frozen=True)
class _Scales:
    """Learning rates over that of the base."""

    weights: dict[str, float]  # by layer
    others: float  # biases, norms
    last_bias: float


def _adam(found: Mapping[str, Size], base: Mapping[str, Size]) -> _Scales:
    return _Scales({name: base[name].fan_in / size.fan_in for name, size in found.items()}, 1.0, 1.0)


def _sgd(found: Mapping[str, Size], base: Mapping[str, Size]) -> _Scales:
    *_, last = found
    m_out, width = found[last].fan_in / base[last].fan_in, found[last].inputs / base[last].inputs
    back = math.sqrt(m_out * width)  # gradients come back smaller by it
    weights = {name: back * base[name].fan_in / size.fan_in for name, size in found.items()}
    return _Scales(weights | {last: 1 / m_out}, back, 1.0)


_SCALES = {"adam": _adam, "sgd": _sgd}


def _scaled(model: nn.Module, scales: _Scales) -> list[tuple[nn.Parameter, float]]:
    """Each parameter with its scale, each once."""
    layers = _layers(model)
    *_, last = layers
    own = {id(_weight(layer)): scales.weights[name] for name, layer in layers.items()}
    if layers[last].bias is not None:
        own[id(layers[last].bias)] = scales.last_bias
    return [(parameter, own.get(id(parameter), scales.others)) for parameter in model.parameters()]


def _base(found: Mapping[str, Size], base: nn.Module | Mapping[str, Size] | None) -> Mapping[str, Size]:
    if not found:
        raise UsageError("the model has no linear or convolution layer, so nothing to scale; give another one")
    if base is None:
        return {name: Size(size.inputs, float(size.inputs)) for name, size in found.items()}
    known = sizes(base) if isinstance(base, nn.Module) else base
    if list(known) != list(found):
        raise UsageError(
            f"the base has the layers {', '.join(known)}, the model {', '.join(found)}; a learning rate is carried "
            "between networks of the same layers only: give a base of the same depth"
        )
    return known


def _layers(model: nn.Module) -> dict[str, Any]:
    kinds = (SparseLayer, nn.Linear, nn.Conv2d)
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def _weight(layer: Any) -> nn.Parameter:
    return layer.values if isinstance(layer, SparseLayer) else layer.weight


def _size(layer: Any) -> Size:
    shape = layer.weight_shape if isinstance(layer, SparseLayer) else tuple(layer.weight.shape)
    return Size(math.prod(shape[1:]), _weight(layer).numel() / shape[0])


@torch.no_grad()
def _shrink_output(layer: Any, m: float) -> None:
    """From variance ~ 1 / m, as drawn, to 1 / m^2."""
    _weight(layer).mul_(1 / math.sqrt(m))
