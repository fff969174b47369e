"""A recipe's plan, and what became of it: predicted beside measured."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tithe.cost.calendar import Epoch, calendar
from tithe.cost.figure import Figure
from tithe.cost.half import Work
from tithe.cost.moves import Moves
from tithe.cost.plan import cross_entropy, scout_window
from tithe.cost.priced import Times, priced
from tithe.cost.rehearsal import MakeOptimizer, Sparse
from tithe.errors import Diverged, UsageError
from tithe.methods import METHODS
from tithe.nn import sparsify
from tithe.train import models
from tithe.train.batches import epoch_batches
from tithe.train.data import Dataset
from tithe.train.data.sizes import Sizes
from tithe.train.loop import Training
from tithe.train.network import Network, dense_model, optimizer_for
from tithe.train.recipe import Recipe, batch_bounds, timetable

PLANNED = "sparse-momentum"
_NOISE_BATCHES = 8


def work(recipe: Recipe, sizes: Sizes, optimizer: MakeOptimizer | None = None, workers: int = 1) -> Work:
    """What the recipe trains on data of these sizes.

    Args:
        recipe: with a model (see `Recipe.for_input`).
        sizes: of the data.
        optimizer: another one than the recipe's.
        workers: how many share each epoch; each takes the recipe's batch.

    Raises:
        UsageError: a model that is not known or does not take such data.
    """
    make: MakeOptimizer = optimizer or (lambda parameters: optimizer_for(recipe, parameters))
    examples = -(-sizes.examples // workers)
    times = timetable(recipe, examples)
    every = times.rewire_every
    window = recipe.scout_steps or scout_window(make, every)
    days = calendar(_epoch(examples, recipe.batch_size), recipe.epochs, every, window)
    sparse = Sparse(recipe.density, recipe.budget)
    moves = None
    if recipe.redistribute is not False:
        moves = Moves(every, days.total) if recipe.rate is None else Moves(every, days.total, recipe.rate)
    batches = _batches(sizes.input_shape)
    return Work(_model(recipe, sizes), make, sparse, cross_entropy, batches, days, recipe.bf16, moves=moves)


def measured(recipe: Recipe, dataset: Dataset, todo: Work) -> Times:
    """A few steps of each half of this work, on networks of their own."""

    def begin(sparse: Sparse | None) -> _Steps:
        model = dense_model(recipe, dataset)
        if sparse is not None:
            sparsify(model, sparse.density, sparse.budget, kernel="sparse")
        network = Network(model, todo.optimizer(model.parameters()), None)
        half = "dense" if sparse is None else "sparse"
        return _Steps(Training(half, network, dataset, recipe, Path(), {}, lambda tick: None))

    return Times.measured(begin, todo)


class _Steps:
    """The steps of a training, one at a time."""

    def __init__(self, training: Training) -> None:
        training.network.model.train()
        self._training = training
        self._batches = _endless(training)

    def rewire(self, every: int, scout_steps: int) -> None:
        """By the recipe's method."""
        network = self._training.network
        how: Any = {"every": every, "total_steps": 2 * every, "scout_steps": scout_steps}
        network.method = METHODS[PLANNED].load()(network.model, network.optimizer, **how)

    def step(self) -> None:
        """As the loop has it."""
        x, labels = next(self._batches)
        self._training.train_step(x, labels, 1)


def noise(recipe: Recipe, sizes: Sizes) -> Dataset:
    """Data of these sizes, as far as measuring a few steps needs them."""
    count = min(sizes.examples, _NOISE_BATCHES * recipe.batch_size)
    with torch.random.fork_rng(devices=[]):
        x = torch.randint(256, (count, *sizes.input_shape), dtype=torch.uint8)
        y = torch.randint(sizes.classes, (count,))
    return Dataset("noise", x, y, x[:1], y[:1], sizes.classes, None, "")


def before_training(recipe: Recipe, dataset: Dataset, rates: Mapping[str, Any]) -> dict[str, Any] | None:
    """The plan of a run that is about to start, as JSON holds it; whatever goes wrong with it never stops the run.

    None for other methods than the one that plans know: their steps differ in what they scout and in what is dense.
    """
    if recipe.method != PLANNED:
        return None
    sizes = Sizes(dataset.name, tuple(dataset.x_train.shape[1:]), dataset.classes, len(dataset.y_train))
    try:
        with torch.random.fork_rng(devices=[]):
            todo = work(recipe, sizes)
            times = measured(recipe, dataset, todo)
            return priced(todo, times=times, rates=rates, fits=False).json()
    except (UsageError, Diverged):
        return None  # what is wrong with model, density or learning rate the training itself will say
    except Exception as error:
        warnings.warn(f"there is no plan to compare with: {type(error).__name__}: {error}", stacklevel=2)
        return None


def checked(plan: Mapping[str, Any] | None, training: Training) -> dict[str, Any] | None:
    """{quantity: {"predicted", "measured", "ratio"}} of one half, ratio = measured / predicted; None without a plan."""
    if plan is None:
        return None
    half, peaks = plan[training.half], training.peaks
    came = {
        "flop": Figure(training.flop.total, "FLOP", "counted", source="what the steps really did"),
        "seconds": Figure(training.seconds, "s", "measured", source="batches, steps, rewirings"),
        "held": Figure(peaks.steady.total, "B", "measured", source="live tensors, outside scouting"),
        "held_peak": Figure(peaks.highest.total, "B", "measured", source="live tensors"),
    }
    return {name: _beside(half[name], figure) for name, figure in came.items()}


def _beside(predicted: Mapping[str, Any], figure: Figure) -> dict[str, Any]:
    value = predicted["value"]
    return {"predicted": dict(predicted), "measured": figure.json(), "ratio": figure.value / value if value else None}


def _epoch(examples: int, batch_size: int) -> Epoch:
    """As `batch_bounds` has it: a last batch of one example is left out."""
    size = min(batch_size, examples)
    steps = len(batch_bounds(examples, batch_size))
    full = min(steps, examples // size)
    return Epoch(size, full, examples % size if steps > full else 0)


def _model(recipe: Recipe, sizes: Sizes) -> nn.Module:
    """On the meta device; a user's factory that cannot make it there makes it as usual."""
    assert recipe.model is not None
    try:
        with torch.device("meta"):
            return models.build(recipe.model, sizes.input_shape, sizes.classes)
    except UsageError:
        return models.build(recipe.model, sizes.input_shape, sizes.classes)


def _batches(shape: tuple[int, ...]) -> Callable[[int], tuple[Tensor, Tensor]]:
    return lambda examples: (
        torch.empty(examples, *shape, device="meta"),
        torch.empty(examples, dtype=torch.int64, device="meta"),
    )


def _endless(training: Training) -> Iterator[tuple[Tensor, Tensor]]:
    data, recipe = training.dataset, training.recipe
    for epoch in itertools.count(1):
        for raw, labels in epoch_batches(data.x_train, data.y_train, recipe, epoch):
            yield training.normalise(raw), labels
