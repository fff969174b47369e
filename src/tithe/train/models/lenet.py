"""The two LeNets of the pruning literature."""

from torch import nn

from tithe.train.models.mlp import mlp
from tithe.train.models.parts import Parts, Shape, chain, flat_size, image_channels


def lenet_300_100(input_shape: Shape, classes: int) -> nn.Sequential:
    """Two hidden layers of 300 and 100 units: 266,610 parameters on MNIST; takes any input shape.

    LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition", III.C.
    """
    return mlp([300, 100], input_shape, classes)


def lenet_5(input_shape: Shape, classes: int) -> nn.Sequential:
    """LeNet-5 with the sizes of Caffe's MNIST example: 431,080 parameters on MNIST; images from 16 x 16 pixels.

    Differs from LeCun et al. 1998, section II.B in: 1. 20 and 50 filters instead of 6 and 16, all connected.
    2. Max pooling, then ReLU (as in the public code of Dettmers & Zettlemoyer 2019, whose figures we compare with;
    Caffe has none there). 3. One hidden layer of 500 units with ReLU; no padding.
    """
    channels = image_channels("lenet-5", input_shape, least_side=16)
    features: Parts = {
        "conv1": nn.Conv2d(channels, 20, 5),
        "pool1": nn.MaxPool2d(2),
        "relu1": nn.ReLU(),
        "conv2": nn.Conv2d(20, 50, 5),
        "pool2": nn.MaxPool2d(2),
        "relu2": nn.ReLU(),
        "flatten": nn.Flatten(),
    }
    hidden = nn.Linear(flat_size(features, input_shape), 500)
    return chain(features | {"fc1": hidden, "relu3": nn.ReLU(), "fc2": nn.Linear(500, classes)})
