"""ResNet-18 with the stem for small images.

He, Zhang, Ren, Sun 2016 (arXiv 1512.03385), table 1, column "18-layer".
Differs from the paper in: 1. The stem is one 3 x 3 convolution of stride 1, without max pooling, as is usual
on CIFAR. 2. A 1 x 1 convolution with norm on a shortcut whose shapes differ (their option B).
"""

from torch import Tensor, nn

from tithe.nn.norm import norm_plus
from tithe.train.models.parts import Shape, chain, conv_norm_relu, he_normal, image_channels


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


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return chain({"conv": nn.Conv2d(inputs, outputs, 1, stride, bias=False), "norm": nn.BatchNorm2d(outputs)})


def resnet18(input_shape: Shape, classes: int) -> nn.Sequential:
    """Four groups of two blocks with 64 to 512 filters: 11,173,962 parameters on CIFAR-10; any image size."""
    parts = conv_norm_relu("1", image_channels("resnet18", input_shape, least_side=1), 64, 3, padding=1)
    inputs = 64
    for number, (outputs, stride) in enumerate([(64, 1), (128, 2), (256, 2), (512, 2)], start=1):
        parts[f"group{number}"] = nn.Sequential(Block(inputs, outputs, stride), Block(outputs, outputs, 1))
        inputs = outputs
    parts |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(512, classes)}
    model = chain(parts)
    he_normal(model)
    return model
