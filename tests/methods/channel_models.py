"""Models whose channels go together, and the steps that they are trained for."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from .table import cnn, mlp


class Residual(nn.Module):
    """Two convolutions whose outputs are added: their channels go together."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.inner, self.second = nn.Conv2d(6, 5, 3, padding=1), nn.Conv2d(5, 6, 1)
        self.last = nn.Linear(6 * 9, 4)

    def forward(self, x):
        x = self.norm(self.first(x)).relu()
        x = x + self.second(functional.relu(self.inner(x)))
        return self.last(functional.relu(functional.avg_pool2d(x, 2) if False else x[:, :, ::2, ::2]).flatten(1))


class Followable(Residual):
    """The same, in words that are known."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(2)

    def forward(self, x):
        x = self.norm(self.first(x)).relu()
        x = x + self.second(functional.relu(self.inner(x)))
        return self.last(self.pool(x).flatten(1))


class Block(nn.Module):
    """As torchvision has it: one ReLU, used twice."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5)
        self.conv2, self.bn2 = nn.Conv2d(5, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        same = inputs == outputs
        self.downsample = None if same else nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs))

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        x += identity
        return self.relu(x)


def blocks() -> nn.Sequential:
    stem = [nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()]
    return nn.Sequential(*stem, Block(6, 6), Block(6, 7), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(63, 4))


ENDS = {
    "pooled": lambda x: functional.adaptive_avg_pool2d(functional.avg_pool2d(x, 2), 3).flatten(1),
    "largest": lambda x: functional.max_pool2d(torch.max_pool2d(x, 2), 1, 1).flatten(1),
    "viewed": lambda x: (p := functional.max_pool2d(x, 2)).view(p.size(0), -1),
    "reshaped": lambda x: (p := functional.leaky_relu(functional.max_pool2d(x, 2))).reshape((p.shape[0], -1)),
    "by size()": lambda x: torch.reshape(p := functional.max_pool2d(x, 2), (p.size()[0], -1)),
    "mean": lambda x: x.mean((2, 3)),
    "mean, kept": lambda x: torch.mean(x, [-1, -2], keepdim=True).flatten(1),
}


class Ended(nn.Module):
    """One convolution, and one of the ends that are written as functions."""

    def __init__(self, end: str) -> None:
        super().__init__()
        self.first, self.norm, self.end = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), ENDS[end]
        self.last = nn.Linear(6 if "mean" in end else 54, 4)

    def forward(self, x):
        return self.last(self.end(self.norm(self.first(x)).relu()))


MODELS = {
    "blocks": (blocks, (1, 6, 6), [5, 6, 5, 7]),
    **{end: (lambda end=end: Ended(end), (1, 6, 6), [6]) for end in ENDS},
    "mlp": (mlp, (12,), [20, 16]),
    "cnn": (cnn, (1, 6, 6), [6, 8]),
    "residual": (Followable, (1, 6, 6), [6, 5]),
    "sliced": (Residual, (1, 6, 6), [5]),  # slicing is not known, so what it touches is left alone
}


def stepped(model: nn.Module, shape: tuple[int, ...], steps: int, optimizer=None, first: int = 0):
    optimizer = optimizer or torch.optim.SGD(model.parameters(), 0.05, 0.9)
    for step in range(first, first + steps):
        torch.manual_seed(step)
        optimizer.zero_grad()
        x = torch.randn(16, *shape, dtype=torch.float64)
        functional.cross_entropy(model(x), torch.randint(4, (16,))).backward()
        optimizer.step()
    return optimizer


def weights(model: nn.Module) -> int:
    return sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d))
