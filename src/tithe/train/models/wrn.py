"""Wide residual networks `wrn-D-K`: D layers deep, K times as wide as a ResNet for CIFAR.

Zagoruyko, Komodakis 2016 (arXiv 1605.07146), section 2 and table 1: three groups of (D - 4) / 6
pre-activation blocks with 16 K, 32 K and 64 K filters. Dropout .3 between the convolutions of a block, as in
their section 2.4 and in the sparse momentum experiments.
Parameters on CIFAR-10: wrn-28-2 1,467,610; wrn-16-8 10,961,370; wrn-16-10 17,116,634; wrn-22-8 17,158,106;
wrn-28-10 36,479,194.
"""

import re

from torch import Tensor, nn

from tithe.errors import UsageError
from tithe.train.models.parts import Shape, chain, he_normal, image_channels


class Block(nn.Module):
    """Norm, ReLU, 3 x 3, norm, ReLU, dropout, 3 x 3; plus the input.

    Where the shapes differ, a 1 x 1 convolution of the activated input takes the place of the input.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        same = inputs == outputs and stride == 1
        self.shortcut = None if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, ceil(H / stride), ceil(W / stride)]."""
        active = self.relu1(self.norm1(x))
        skip = x if self.shortcut is None else self.shortcut(active)
        hidden = self.relu2(self.norm2(self.conv1(active)))
        return skip + self.conv2(self.dropout(hidden))


def wide_resnet(depth: int, width: int, input_shape: Shape, classes: int, dropout: float = 0.3) -> nn.Sequential:
    """Stem of 16 filters, three groups of blocks (the last two halve the image), norm, ReLU, mean, linear.

    Any image size will do; [N, C, H, W] -> [N, classes].
    """
    channels = image_channels(f"wrn-{depth}-{width}", input_shape, least_side=1)
    blocks, last = (depth - 4) // 6, 64 * width
    model = chain(
        {
            "conv1": nn.Conv2d(channels, 16, 3, padding=1, bias=False),
            "group1": _group(16, 16 * width, 1, blocks, dropout),
            "group2": _group(16 * width, 32 * width, 2, blocks, dropout),
            "group3": _group(32 * width, last, 2, blocks, dropout),
            "norm": nn.BatchNorm2d(last),
            "relu": nn.ReLU(),
            "pool": nn.AdaptiveAvgPool2d(1),
            "flatten": nn.Flatten(),
            "fc": nn.Linear(last, classes),
        }
    )
    he_normal(model)
    return model


def _group(inputs: int, outputs: int, stride: int, blocks: int, dropout: float) -> nn.Sequential:
    rest = [Block(outputs, outputs, 1, dropout) for _ in range(blocks - 1)]
    return nn.Sequential(Block(inputs, outputs, stride, dropout), *rest)


def from_name(name: str, input_shape: Shape, classes: int) -> nn.Sequential:
    """Build `wrn-D-K`. Raises UsageError unless D is 6 n + 4 with n >= 1, and K >= 1."""
    match = re.fullmatch(r"wrn-([0-9]+)-([0-9]+)", name)
    if match is None:
        raise UsageError(f"model '{name}' is no wide ResNet: write wrn-DEPTH-WIDTH, such as wrn-28-2 or wrn-16-8.")
    depth, width = int(match[1]), int(match[2])
    if depth < 10 or depth % 6 != 4:
        near = max(10, 6 * round((depth - 4) / 6) + 4)
        raise UsageError(
            f"model {name} has depth {depth}, but a wide ResNet's depth is 6 n + 4 (10, 16, 22, 28, ...); "
            f"the nearest is wrn-{near}-{max(width, 1)}."
        )
    if width < 1:
        raise UsageError(f"model {name} has width 0, but a wide ResNet's width is at least 1: try wrn-{depth}-1.")
    return wide_resnet(depth, width, input_shape, classes)
