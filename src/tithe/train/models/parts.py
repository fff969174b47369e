"""What the families share: named chains of layers, and whether an input shape fits."""

import math
from collections import OrderedDict
from itertools import chain as join

import torch
from torch import nn

from tithe.errors import UsageError

Shape = tuple[int, ...]  # of one example: (channels, height, width) or (features,)
Parts = dict[str, nn.Module]  # layers by name, in the order of the forward pass


def chain(parts: Parts) -> nn.Sequential:
    """The layers one after another, under their names."""
    return nn.Sequential(OrderedDict(parts))


def conv_norm_relu(label: str, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> Parts:
    """Convolution, BatchNorm, ReLU. The convolution has no bias: the norm would subtract it again."""
    return {
        f"conv{label}": nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False),
        f"norm{label}": nn.BatchNorm2d(outputs),
        f"relu{label}": nn.ReLU(),
    }


def linear_norm_relu(label: str, inputs: int, outputs: int) -> Parts:
    """Fully connected layer, BatchNorm, ReLU, the first without bias for the same reason."""
    return {
        f"fc{label}": nn.Linear(inputs, outputs, bias=False),
        f"norm_fc{label}": nn.BatchNorm1d(outputs),
        f"relu_fc{label}": nn.ReLU(),
    }


def image_channels(name: str, input_shape: Shape, least_side: int) -> int:
    """How many channels the images have.

    Raises UsageError if the examples are no images, or smaller than least_side x least_side pixels.
    """
    if len(input_shape) != 3:
        raise UsageError(
            f"model {name} needs images [channels, height, width], but each example has the shape "
            f"{list(input_shape)}; choose mlp:300-100 or lenet-300-100 for such data."
        )
    channels, height, width = input_shape
    if min(height, width) < least_side:
        raise UsageError(
            f"model {name} needs images of at least {least_side} x {least_side} pixels, but these have "
            f"{height} x {width}; choose a model for small images, such as wrn-16-2, or mlp:300-100."
        )
    return channels


def flat_size(parts: Parts, input_shape: Shape) -> int:
    """How many numbers come out of these layers for one example; from shapes, nothing is computed."""
    layers = chain(parts)
    # A batch of two: BatchNorm refuses to train on a single value per channel.
    batch = torch.empty(2, *input_shape, device="meta")
    tensors = join(layers.named_parameters(), layers.named_buffers())
    shapes = {name: tensor.detach().to("meta") for name, tensor in tensors}
    return math.prod(torch.func.functional_call(layers, shapes, (batch,)).shape[1:])


def he_normal(model: nn.Module) -> None:
    """Draw every convolution from N(0, 2 / (outputs * kernel area)): He et al. 2015, arXiv 1502.01852, 2.2."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
