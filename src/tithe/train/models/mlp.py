"""Multi-layer perceptrons `mlp:W1-W2-...`: each number is the width of a hidden layer with ReLU."""

import math
import re
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from tithe.errors import UsageError
from tithe.train.models.parts import Parts, Shape, chain


def mlp(widths: Sequence[int], input_shape: Shape, classes: int) -> nn.Sequential:
    """Flatten, then fully connected layers with biases; [N, *input_shape] -> [N, classes]."""
    parts: Parts = {"flatten": nn.Flatten()}
    sizes = [math.prod(input_shape), *widths]
    for number, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        parts |= {f"fc{number}": nn.Linear(inputs, outputs), f"relu{number}": nn.ReLU()}
    return chain(parts | {f"fc{len(sizes)}": nn.Linear(sizes[-1], classes)})


def from_name(name: str, input_shape: Shape, classes: int) -> nn.Sequential:
    """Build `mlp:W1-W2-...`; mlp:300-100 on 28 x 28 pixels and 10 classes has 266,610 parameters.

    Raises UsageError unless all widths are whole numbers of at least 1.
    """
    match = re.fullmatch(r"mlp:([1-9][0-9]*(?:-[1-9][0-9]*)*)", name)
    if match is None:
        raise UsageError(
            f"model '{name}' is no multi-layer perceptron: write mlp: and the widths of the hidden layers, "
            "whole numbers of at least 1 joined by hyphens, such as mlp:300-100."
        )
    return mlp([int(width) for width in match[1].split("-")], input_shape, classes)
