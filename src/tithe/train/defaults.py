"""The recipe of each data set: what `tithe train` does unless told otherwise."""

import dataclasses
from typing import Any

from tithe.errors import UsageError
from tithe.methods import find
from tithe.train.recipe import Recipe

_MNIST = Recipe(model="lenet-300-100", batch_size=100, lr=0.1, lr_drops=(25 / 60, 50 / 60))
"""The recipe of Dettmers & Zettlemoyer (their public code): batch 100, 0.1 / 10 every 25k of 60k steps, 100 epochs.
Ours runs 20 epochs unless told otherwise, with the drops at the same fractions; `epochs=100` is theirs exactly."""

_CIFAR10 = Recipe(
    model="wrn-16-2",
    batch_size=128,
    lr=0.1,
    lr_drops=(30_000 / 97_750, 60_000 / 97_750, 90_000 / 97_750),
    augment="crop-flip",
    epochs=30,
)
"""Theirs: batch 128, 0.1 / 10 every 30k of 97,750 steps, 250 epochs, crop and flip. Ours runs 30 epochs of a small
network unless told otherwise."""

DEFAULTS = {
    "digits": Recipe(model="mlp:1024-1024", batch_size=32, epochs=20, lr=0.1),
    "mnist": _MNIST,
    "fashion-mnist": _MNIST,
    "cifar10": _CIFAR10,
}
OWN_DATA = Recipe(model=None, batch_size=64, lr=0.05)
"""For an .npz file or a folder of images: no more than a sensible start."""


def complete(data: str, given: dict[str, Any]) -> Recipe:
    """The recipe for the data set called `data`: its defaults, overruled by what was `given` (not None).

    Raises:
        UsageError: a value is out of range, or there is no such method; the message says what is allowed.
    """
    changes = {name: value for name, value in given.items() if value is not None}
    entry = find(changes.get("method", Recipe.method))
    if "budget" in changes and entry.start != "sparse" and "budget" not in entry.defaults():
        raise UsageError(f"method {entry.name} has no budget to choose: leave --budget out.")
    own = {"budget": entry.budget, "rewire_every": entry.every}
    return dataclasses.replace(DEFAULTS.get(data, OWN_DATA), **own | changes)


def of_one_network(recipe: Recipe) -> Recipe:
    """The same recipe.

    Raises:
        UsageError: its method trains many networks, so no one training is what it does or takes.
    """
    if find(recipe.method).searches:
        raise UsageError(
            f"method {recipe.method} trains many networks, not one: see tithe compare --methods {recipe.method}, or "
            "tithe tune --method dense --tune width,depth."
        )
    return recipe
