"""ResNet-18 with the stem for small images, and ResNet-50 with that for large ones.

He, Zhang, Ren, Sun 2016 (arXiv 1512.03385), table 1, columns "18-layer" and "50-layer".
Differs from the paper in: 1. The stem of ResNet-18 is one 3 x 3 convolution of stride 1, without max pooling, as is
usual on CIFAR. 2. A 1 x 1 convolution with norm on a shortcut whose shapes differ (their option B). 3. In ResNet-50 the
3 x 3 convolution of a block has its stride, not the first 1 x 1: as in torchvision, whose 4.09 G multiply-adds
are those that are quoted (the paper's place gives 3.86).
"""

from torch import Tensor, nn

from tithe.nn.norm import norm_plus
from tithe.train.models.parts import Parts, Shape, chain, conv_norm_relu, he_normal, image_channels


class Block(nn.Module):
    """3 x 3, norm, ReLU, 3 x 3, norm; plus the input, or a normed 1 x 1 of it where shapes differ; ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        same = inputs == outputs and stride == 1
        self.shortcut = None if same else _shortcut(inputs, outputs, stride)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, ceil(H / stride), ceil(W / stride)]."""
        skip = x if self.shortcut is None else self.shortcut(x)
        hidden = self.relu1(self.norm1(self.conv1(x)))
        return self.relu2(norm_plus(self.norm2, self.conv2(hidden), skip))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1, each with norm, a ReLU between them; plus the input as in `Block`; ReLU."""

    def __init__(self, inputs: int, middle: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * middle
        self.before = chain(
            conv_norm_relu("1", inputs, middle, 1) | conv_norm_relu("2", middle, middle, 3, stride, padding=1)
        )
        self.conv3 = nn.Conv2d(middle, outputs, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(outputs)
        self.shortcut = None if inputs == outputs and stride == 1 else _shortcut(inputs, outputs, stride)
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, 4 middle, ceil(H / stride), ceil(W / stride)]."""
        skip = x if self.shortcut is None else self.shortcut(x)
        return self.relu3(norm_plus(self.norm3, self.conv3(self.before(x)), skip))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return chain({"conv": nn.Conv2d(inputs, outputs, 1, stride, bias=False), "norm": nn.BatchNorm2d(outputs)})


def resnet18(input_shape: Shape, classes: int) -> nn.Sequential:
    """Four groups of two blocks with 64 to 512 filters: 11,173,962 parameters on CIFAR-10; any image size."""
    parts = conv_norm_relu("1", image_channels("resnet18", input_shape, least_side=1), 64, 3, padding=1)
    inputs = 64
    for number, (outputs, stride) in enumerate([(64, 1), (128, 2), (256, 2), (512, 2)], start=1):
        parts[f"group{number}"] = nn.Sequential(Block(inputs, outputs, stride), Block(outputs, outputs, 1))
        inputs = outputs
    return _finished(parts, inputs, classes)


def resnet50(input_shape: Shape, classes: int) -> nn.Sequential:
    """Groups of 3, 4, 6, 3 bottlenecks with 256 to 2048 filters: 25,557,032 parameters on ImageNet; any image size."""
    parts = conv_norm_relu("1", image_channels("resnet50", input_shape, least_side=1), 64, 7, stride=2, padding=3)
    parts["pool1"] = nn.MaxPool2d(3, stride=2, padding=1)
    inputs = 64
    for number, (middle, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], start=1):
        first = Bottleneck(inputs, middle, stride=1 if number == 1 else 2)
        inputs = 4 * middle
        parts[f"group{number}"] = nn.Sequential(first, *[Bottleneck(inputs, middle, 1) for _ in range(blocks - 1)])
    return _finished(parts, inputs, classes)


def _finished(parts: Parts, inputs: int, classes: int) -> nn.Sequential:
    """The mean of each channel, a linear layer, and the paper's initialisation."""
    parts |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(inputs, classes)}
    model = chain(parts)
    he_normal(model)
    return model
