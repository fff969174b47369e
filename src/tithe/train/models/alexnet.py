"""AlexNet for small images, with hidden layers of 1024 (s) or 2048 (b) units.

Lee, Ajanthan, Torr 2019, "SNIP" (arXiv 1810.02340), table 2: 5.1 and 8.5 million weights on CIFAR-10. Strides
and paddings are those of the sparse momentum experiments (Dettmers, Zettlemoyer 2019, arXiv 1907.04840),
which name the two AlexNet-s and AlexNet-b.

Differs from Krizhevsky et al. 2012 in: 1. Every convolution has stride 2 and there is no pooling. 2.
BatchNorm after every layer but the last, instead of dropout and local response normalisation. 3. Narrower
hidden layers.
Differs from SNIP in: 1. No bias in front of a BatchNorm, where it has no effect. 2. The first two layers pad
by 2 and so give maps of 13 and 7 pixels a side for 32, not 16 and 8.
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

# (filters, kernel, padding) of the five convolutions.
_CONVOLUTIONS = [(96, 11, 2), (256, 5, 2), (384, 3, 1), (384, 3, 1), (256, 3, 1)]


def alexnet_s(input_shape: Shape, classes: int) -> nn.Sequential:
    """AlexNet with 1024 hidden units: 5,073,642 parameters on CIFAR-10; images from 7 x 7 pixels."""
    return _alexnet("alexnet-s", 1024, input_shape, classes)


def alexnet_b(input_shape: Shape, classes: int) -> nn.Sequential:
    """AlexNet with 2048 hidden units: 8,495,850 parameters on CIFAR-10; images from 7 x 7 pixels."""
    return _alexnet("alexnet-b", 2048, input_shape, classes)


def _alexnet(name: str, hidden: int, input_shape: Shape, classes: int) -> nn.Sequential:
    inputs = image_channels(name, input_shape, least_side=7)
    features: Parts = {}
    for number, (filters, kernel, padding) in enumerate(_CONVOLUTIONS, start=1):
        features |= conv_norm_relu(str(number), inputs, filters, kernel, stride=2, padding=padding)
        inputs = filters
    features |= {"flatten": nn.Flatten()}
    head = linear_norm_relu("6", flat_size(features, input_shape), hidden) | linear_norm_relu("7", hidden, hidden)
    return chain(features | head | {"fc8": nn.Linear(hidden, classes)})
