"""Networks and the optimizer of the tests of sparse momentum."""

import itertools

import torch
from torch import nn

LR, DECAY, WEIGHT_DECAY = 0.05, 0.9, 5e-4


def mlp(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def sgd(model: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), LR, DECAY, weight_decay=WEIGHT_DECAY, nesterov=True)
