"""VGG-16 for small images in three variants: C, D, and `like`.

Simonyan, Zisserman 2015 (arXiv 1409.1556), table 1, columns C and D, as Lee, Ajanthan, Torr 2019, "SNIP"
(arXiv 1810.02340), table 2, shrink them for CIFAR-10: 10.5, 15.2 and 15.0 million weights. `like` has one
hidden layer instead of two (Zagoruyko 2015, "92.45 % on CIFAR-10 in Torch").

Differs from Simonyan and Zisserman in: 1. Hidden layers of 512 units. 2. BatchNorm after every layer but the
last, and no dropout.
Differs from SNIP in: no bias in front of a BatchNorm, where it has no effect.
Differs from the code of sparse momentum (Dettmers, Zettlemoyer 2019) in: 1. BatchNorm before ReLU in the
hidden layers too. 2. The 1 x 1 convolutions of C have no padding; there, a padding of 1 makes the first
hidden layer four times as large.
"""

from torch import nn

from tithe.train.models.parts import (
    Parts,
    Shape,
    chain,
    conv_norm_relu,
    flat_size,
    image_channels,
    linear_norm_relu,
)

# Per block the filters, and how many convolutions.
_BLOCKS = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]
_HIDDEN = 512


def vgg_c(input_shape: Shape, classes: int) -> nn.Sequential:
    """Third convolution of the last three blocks 1 x 1: 10,531,786 parameters on CIFAR-10; any image size."""
    return _vgg("vgg-c", 1, 2, input_shape, classes)


def vgg_d(input_shape: Shape, classes: int) -> nn.Sequential:
    """All convolutions are 3 x 3: 15,250,378 parameters on CIFAR-10; any image size."""
    return _vgg("vgg-d", 3, 2, input_shape, classes)


def vgg_like(input_shape: Shape, classes: int) -> nn.Sequential:
    """As D with one hidden layer: 14,987,210 parameters on CIFAR-10; any image size."""
    return _vgg("vgg-like", 3, 1, input_shape, classes)


def _vgg(name: str, third_kernel: int, hidden_layers: int, input_shape: Shape, classes: int) -> nn.Sequential:
    features = _features(image_channels(name, input_shape, least_side=1), third_kernel)
    head: Parts = {}
    inputs = flat_size(features, input_shape)
    for number in range(1, hidden_layers + 1):
        head |= linear_norm_relu(str(number), inputs, _HIDDEN)
        inputs = _HIDDEN
    return chain(features | head | {f"fc{hidden_layers + 1}": nn.Linear(inputs, classes)})


def _features(inputs: int, third_kernel: int) -> Parts:
    """Five blocks of convolutions that keep the image's size, each with a max pooling that halves it."""
    parts: Parts = {}
    for block, (filters, convolutions) in enumerate(_BLOCKS, start=1):
        for number in range(1, convolutions + 1):
            kernel = third_kernel if number == 3 else 3
            parts |= conv_norm_relu(f"{block}_{number}", inputs, filters, kernel, padding=kernel // 2)
            inputs = filters
        # Sides are halved upwards, as SNIP's padding does, so images need not have 32 pixels a side.
        parts[f"pool{block}"] = nn.MaxPool2d(2, ceil_mode=True)
    return parts | {"flatten": nn.Flatten()}
