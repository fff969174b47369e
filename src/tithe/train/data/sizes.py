"""How large a data set is: what a plan has to know of it, without reading it where that can be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tithe.errors import UsageError
from tithe.train.data.catalog import load


@dataclass(frozen=True)
class Sizes:
    """What decides the cost of training on it."""

    name: str
    input_shape: tuple[int, ...]  # of one example, (C, H, W) or (F,)
    classes: int
    examples: int  # in the training set


KNOWN = {
    "digits": Sizes("digits", (1, 8, 8), 10, 1438),
    "mnist": Sizes("mnist", (1, 28, 28), 10, 60_000),
    "fashion-mnist": Sizes("fashion-mnist", (1, 28, 28), 10, 60_000),
    "cifar10": Sizes("cifar10", (3, 32, 32), 10, 50_000),
    "imagenet": Sizes("imagenet", (3, 224, 224), 1000, 1_281_167),
}
"""ImageNet is that of ILSVRC 2012 in crops of 224 x 224; it can be planned, not trained here."""


def sizes(spec: str) -> Sizes:
    """The sizes of a data set, as `load` takes it, or "imagenet", or CxHxW:CLASSES:EXAMPLES.

    Raises:
        UsageError: as `load`, or sizes below 1.

    >>> sizes("3x64x64:200:100000")
    Sizes(name='3x64x64:200:100000', input_shape=(3, 64, 64), classes=200, examples=100000)
    """
    if spec in KNOWN:
        return KNOWN[spec]
    if spec.count(":") == 2 and not Path(spec).exists():
        return _given(spec)
    data = load(spec)
    return Sizes(data.name, tuple(data.x_train.shape[1:]), data.classes, len(data.y_train))


def _given(spec: str) -> Sizes:
    shape, classes, examples = spec.split(":")
    try:
        sides = tuple(int(side) for side in shape.split("x"))
        found = Sizes(spec, sides, int(classes), int(float(examples)))
    except ValueError:
        found = None
    if found is None or len(found.input_shape) not in (1, 3) or min(*found.input_shape, found.examples) < 1:
        raise UsageError(
            f"data {spec!r} is not possible: write CxHxW:CLASSES:EXAMPLES or FEATURES:CLASSES:EXAMPLES, whole numbers "
            "of at least 1, such as 3x64x64:200:100000."
        )
    return found
