"""What is measured: a row is one layer or one network, with the size of its batch."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from tithe.errors import UsageError
from tithe.train import models

CLASSES = 10
LAYER_SYNTAX = "linear:INxOUT@BATCH or conv:IN-OUT-KxK,HxW@BATCH"
DEFAULT_LAYERS = ("linear:1024x1024@128", "linear:784x300@128", "conv:64-64-3x3,32x32@32")
LARGE_LAYERS = ("conv:256-256-3x3,16x16@64", "conv:640-640-3x3,8x8@64")
DEFAULT_MODELS = ("mlp:1024-1024@100", "lenet-300-100@100")
LARGE_MODELS = ("wrn-16-8@32", "resnet18@64")
_BATCH = {name: int(batch) for name, batch in (spec.split("@") for spec in DEFAULT_MODELS + LARGE_MODELS)}
_IMAGE = {"lenet-300-100": (1, 28, 28), "lenet-5": (1, 28, 28)}  # others: CIFAR's 3 x 32 x 32


@dataclass(frozen=True)
class Row:
    """A layer or a network to train, dense: `make` draws its weights from torch's global generator."""

    kind: str  # "layer" or "step"
    spec: str  # what the user writes
    title: str  # what the user reads
    make: Callable[[], nn.Module]
    input_shape: tuple[int, ...]  # with the batch in front


def layer_rows(specs: str | None) -> list[Row]:
    """The layers of `--shapes`: specs joined by commas or blanks, "all", or None for the default ones.

    >>> [row.title for row in layer_rows("linear:784x300@128, conv:64-64-3x3,32x32@32")]
    ['Linear 784 -> 300, batch 128', 'Conv 64 -> 64 3x3, 32x32, batch 32']

    Raises:
        UsageError: a spec is not written as LAYER_SYNTAX says, or holds a zero.
    """
    if specs is None:
        return [_layer(spec) for spec in DEFAULT_LAYERS]
    if specs.strip() == "all":
        return [_layer(spec) for spec in DEFAULT_LAYERS + LARGE_LAYERS]
    # A convolution's spec has a comma in it, which digits follow; names begin with a letter.
    return [_layer(spec) for spec in re.split(r"[\s,]+(?![0-9])", specs.strip())]


def model_rows(specs: str | None) -> list[Row]:
    """The networks of `--models`: NAME or NAME@BATCH joined by commas, "all", or None for the default ones.

    Raises:
        UsageError: an unknown model, or a batch that is no whole number of at least 1.
    """
    if specs is None:
        return [_model(spec) for spec in DEFAULT_MODELS]
    if specs.strip() == "all":
        return [_model(spec) for spec in DEFAULT_MODELS + LARGE_MODELS]
    return [_model(spec) for spec in re.split(r"[\s,]+", specs.strip())]


def _layer(spec: str) -> Row:
    linear = re.fullmatch(r"linear:(\d+)x(\d+)@(\d+)", spec)
    conv = re.fullmatch(r"conv:(\d+)-(\d+)-(\d+)x(\d+),(\d+)x(\d+)@(\d+)", spec)
    match = linear or conv
    sizes = [int(size) for size in match.groups()] if match else [0]
    if min(sizes) < 1:
        raise UsageError(
            f"shape {spec!r} was given; write {LAYER_SYNTAX}, whole numbers of at least 1, such as "
            f"{DEFAULT_LAYERS[0]} or {DEFAULT_LAYERS[-1]}."
        )
    return _linear(spec, *sizes) if linear else _conv(spec, *sizes)


def _linear(spec: str, inputs: int, outputs: int, batch: int) -> Row:
    title = f"Linear {inputs} -> {outputs}, batch {batch}"
    return Row("layer", spec, title, lambda: nn.Sequential(nn.Linear(inputs, outputs)), (batch, inputs))


def _conv(spec: str, inputs: int, outputs: int, high: int, wide: int, height: int, width: int, batch: int) -> Row:
    """Stride 1, padded by half the kernel, so that the image keeps its size where the kernel is odd."""
    title = f"Conv {inputs} -> {outputs} {high}x{wide}, {height}x{width}, batch {batch}"
    padding = (high // 2, wide // 2)
    return Row(
        "layer",
        spec,
        title,
        lambda: nn.Sequential(nn.Conv2d(inputs, outputs, (high, wide), padding=padding)),
        (batch, inputs, height, width),
    )


def _model(spec: str) -> Row:
    name, at, given = spec.partition("@")
    batch = given if at else str(_BATCH.get(name, 128))
    if not re.fullmatch(r"[1-9]\d*", batch):
        raise UsageError(f"model {spec!r} was given; write NAME or NAME@BATCH, such as {DEFAULT_MODELS[0]}.")
    shape = _IMAGE.get(name, (3, 32, 32))
    with torch.random.fork_rng(devices=[]):  # says now what is wrong with the name
        models.build(name, shape, CLASSES)
    image = "x".join(map(str, shape))
    title = f"{name} on {image}, batch {batch}"
    return Row("step", spec, title, lambda: _without_dropout(models.build(name, shape, CLASSES)), (int(batch), *shape))


def _without_dropout(model: nn.Module) -> nn.Module:
    """torch draws a dropout mask number by number: 0.2 s of a WRN-16-8 step, dense or sparse, and not ours."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model
