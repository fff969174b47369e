"""A recipe: everything that decides how a network is trained, checked once, when it is made."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from tithe.errors import UsageError

SCOUT_ROOM_STEPS = 200
"""Fewest steps between two rewirings of the default recipes. Scouting takes the last 44 steps before a rewiring
(a momentum of 0.9 has then forgotten all but 1 % of what came before), so with 200 it stays a fifth of training,
and grown weights have time to move away from zero before they are judged."""

MOST_THREADS = 1024


@dataclass(frozen=True)
class Recipe:
    """How to train one network, sparse or dense; `tithe.train.defaults.complete` makes one. Runs with equal recipes,
    equal data and the same number of threads give equal bits."""

    model: str | None  # None: chosen by `for_input` from the shape of the data
    method: str = "sparse-momentum"
    density: float = 0.05  # fraction of weights that exist, (0, 1]
    budget: str = "erk"
    epochs: int = 20
    batch_size: int = 100
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    lr_drops: tuple[float, ...] = (
        0.5,
        0.75,
    )  # the learning rate falls to a tenth at these fractions of all steps
    rewire_every: int | None = None  # steps; None: at the ends of epochs
    scout_steps: int | None = None  # steps; None: the method's own window
    redistribute: bool | None = None  # whether rewiring moves weights between layers; None: as the method has it
    rate: float | None = None  # fraction of a layer's weights dropped at the first rewiring; None: the method's own
    taper: float | None = None  # share of channels the last layer keeps over the first one's; None: the method's own
    augment: Literal["none", "crop-flip"] = "none"
    remove_dead: bool = False  # channels that no weight reads, as soon as the topology stays
    bf16: bool = False  # activations in bfloat16, under torch.autocast
    seed: int = 0
    threads: int | None = None  # None: torch's own choice
    compare: Literal["dense", "none"] = "dense"
    validation: float = 0.0  # fraction of the training examples that is held out and takes the test set's place
    supar: str | None = None  # the network for which `lr` was tuned: dense, MODEL or MODEL@DENSITY; None: this one

    def __post_init__(self) -> None:
        for check in _CHECKS:
            check(self)

    def for_input(self, shape: tuple[int, ...]) -> "Recipe":
        """The same recipe with a model for data of `shape`, (C, H, W) or (F,), where none was chosen."""
        if self.model is not None:
            return self
        return dataclasses.replace(self, model="mlp:512-512" if len(shape) == 1 else "wrn-16-2")


@dataclass(frozen=True)
class Timetable:
    """When things happen, in optimizer steps counted from 1."""

    steps_per_epoch: int
    total_steps: int
    rewire_every: int
    lr_drop_steps: tuple[int, ...]

    def lr(self, start: float, step: int) -> float:
        """The learning rate of `step`, 1..total_steps: divided by ten for every drop passed."""
        return start / 10 ** sum(step > drop for drop in self.lr_drop_steps)


def timetable(recipe: Recipe, n_train: int) -> Timetable:
    """Steps for `n_train` examples.

    Rewirings fall on the ends of epochs, `SCOUT_ROOM_STEPS` apart or more; in a training too short for that there is
    one, in the middle.
    """
    steps_per_epoch = len(batch_bounds(n_train, recipe.batch_size))
    total = steps_per_epoch * recipe.epochs
    apart = math.ceil(SCOUT_ROOM_STEPS / steps_per_epoch) * steps_per_epoch
    if apart >= total:
        apart = math.ceil(total / 2)
    return Timetable(
        steps_per_epoch=steps_per_epoch,
        total_steps=total,
        rewire_every=recipe.rewire_every or apart,
        lr_drop_steps=tuple(round(fraction * total) for fraction in recipe.lr_drops),
    )


def batch_bounds(n: int, batch_size: int) -> list[tuple[int, int]]:
    """Where the batches of one epoch begin and end in its order of `n` examples.

    The last batch may be smaller. A last batch of one example is left out where there are others: batch
    normalisation cannot normalise it. (Each epoch has its own order, so no example is left out for good.)
    """
    bounds = [(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]
    alone = len(bounds) > 1 and batch_size > 1 and bounds[-1][1] - bounds[-1][0] == 1
    return bounds[:-1] if alone else bounds


def _check_density(recipe: Recipe) -> None:
    if not 0 < recipe.density <= 1:  # also NaN
        raise UsageError(
            f"density {recipe.density:g} is not possible: it is the fraction of weights that exist, above 0 and at "
            "most 1; 0.05 is a good start."
        )


def _check_budget(recipe: Recipe) -> None:
    _check_choice("budget", recipe.budget, ("erk", "uniform", "global", "channels"))


def _check_whole_numbers(recipe: Recipe) -> None:
    for name, least in (
        ("epochs", 1),
        ("batch_size", 1),
        ("threads", 1),
        ("rewire_every", 1),
        ("scout_steps", 1),
    ):
        value = getattr(recipe, name)
        if value is not None and value < least:
            raise UsageError(f"{name.replace('_', ' ')} {value} is not possible: give {least} or more.")
    if (recipe.threads or 1) > MOST_THREADS:
        raise UsageError(f"threads {recipe.threads} is not possible: give at most {MOST_THREADS}.")
    if not 0 <= recipe.seed < 2**63:
        raise UsageError(f"seed {recipe.seed} is not possible: give a whole number from 0 to 2^63 - 1.")


def _check_optimizer(recipe: Recipe) -> None:
    if not 0 < recipe.lr < math.inf:
        raise UsageError(f"learning rate {recipe.lr:g} is not possible: give a finite number above 0, such as 0.1.")
    if not 0 <= recipe.weight_decay < math.inf:
        raise UsageError(f"weight decay {recipe.weight_decay:g} is not possible: give a finite number, 0 or more.")
    if not 0 <= recipe.momentum < 1:
        raise UsageError(f"momentum {recipe.momentum:g} is not possible: give 0 or more and less than 1.")
    if recipe.nesterov and recipe.momentum == 0:
        raise UsageError("momentum 0 has no Nesterov form: give a momentum above 0.")
    if not all(0 < fraction < 1 for fraction in recipe.lr_drops):
        raise UsageError(
            f"lr drops {recipe.lr_drops} are not possible: give fractions of the training, between 0 and 1."
        )


def _check_rate(recipe: Recipe) -> None:
    if recipe.rate is not None and not 0 < recipe.rate < 1:
        raise UsageError(
            f"rate {recipe.rate:g} is not possible: it is the fraction of weights dropped at the first rewiring, "
            "between 0 and 1; 0.5 is the paper's."
        )


def _check_validation(recipe: Recipe) -> None:
    if not 0 <= recipe.validation < 1:
        raise UsageError(
            f"validation {recipe.validation:g} is not possible: it is the fraction of the training examples that is "
            "held out, 0 or more and less than 1; 0.1 is a good start."
        )


def _check_words(recipe: Recipe) -> None:
    _check_choice("augment", recipe.augment, ("none", "crop-flip"))
    _check_choice("compare", recipe.compare, ("dense", "none"))


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"{name} {value!r} is not known: choose one of {', '.join(allowed)}.")


_CHECKS = (
    *(_check_density, _check_budget, _check_whole_numbers, _check_optimizer, _check_rate, _check_validation),
    _check_words,
)
