"""From a model's name to the model."""

import difflib
from collections.abc import Callable

from torch import nn

from tithe.errors import UsageError
from tithe.train.models import alexnet, lenet, mlp, own, resnet, vgg, wrn
from tithe.train.models.parts import Shape

_FIXED: dict[str, Callable[[Shape, int], nn.Module]] = {
    "lenet-300-100": lenet.lenet_300_100,
    "lenet-5": lenet.lenet_5,
    "alexnet-s": alexnet.alexnet_s,
    "alexnet-b": alexnet.alexnet_b,
    "vgg-c": vgg.vgg_c,
    "vgg-d": vgg.vgg_d,
    "vgg-like": vgg.vgg_like,
    "resnet18": resnet.resnet18,
    "resnet50": resnet.resnet50,
}
_OPEN = ["wrn-D-K", "mlp:W1-W2-...", "module.path:factory"]
# One of each open family, so that a slip in its spelling finds its way back.
_EXAMPLES = ["wrn-28-2", "wrn-16-8", "mlp:300-100"]


def names() -> list[str]:
    """What `build` takes: names, and the patterns of the open families."""
    return [*_FIXED, *_OPEN]


def build(name: str, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """A dense model in training mode on the CPU: [N, *input_shape] -> [N, classes], scores without softmax.

    input_shape is that of one example: (channels, height, width), or (features,) for tabular data. The
    weights are drawn from torch's global generator. Raises UsageError for a name that is not allowed and for
    a shape that does not fit, before anything is trained.
    """
    _check_data(input_shape, classes)
    if name in _FIXED:
        return _FIXED[name](input_shape, classes)
    if name.startswith("wrn-"):
        return wrn.from_name(name, input_shape, classes)
    if name.startswith("mlp:"):
        return mlp.from_name(name, input_shape, classes)
    if ":" in name:
        return own.from_name(name, input_shape, classes)
    near = difflib.get_close_matches(name.lower(), [*_FIXED, *_EXAMPLES], n=2)
    advice = f"; did you mean {' or '.join(near)}?" if near else "."
    raise UsageError(f"unknown model '{name}'; allowed are {', '.join(names())}{advice}")


def _check_data(input_shape: Shape, classes: int) -> None:
    if len(input_shape) not in (1, 3) or min(input_shape) < 1:
        raise UsageError(
            f"examples of shape {list(input_shape)} fit no model; allowed are [channels, height, width] and "
            "[features], each at least 1."
        )
    if classes < 2:
        raise UsageError(
            f"the data have {classes} class(es), but a classifier needs at least 2; give labels that differ."
        )
