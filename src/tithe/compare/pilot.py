"""How many epochs each tactic gets, so that all spend the same: two short trainings of each tell what an epoch takes.

The second pilot is as long as the first and one period of rewiring more (whole epochs), so the difference is what
one more period takes, with its scouting: FLOP(E) = FLOP(first) + (E - first) (FLOP(second) - FLOP(first)) / (second -
first). Seconds are too uneven for differences: seconds(E) = E (all seconds) / (all epochs).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from tithe.compare.budget import Budget
from tithe.train.data import Dataset
from tithe.train.network import dense_network
from tithe.train.recipe import Recipe, batch_bounds, timetable

_PROBE = 2  # examples; batch normalisation cannot take one


def lengths(recipe: Recipe, n_train: int) -> tuple[int, int]:
    """Epochs of the two pilots."""
    times = timetable(recipe, n_train)
    period = math.ceil(times.rewire_every / times.steps_per_epoch)
    return period, 2 * period


def epochs_for(budget: Budget, spent: Sequence[tuple[int, float]]) -> int:
    """How many epochs fit the budget best; 0 where one takes more than twice of it.

    Args:
        budget: in FLOP or seconds, with its amount.
        spent: (epochs, FLOP or seconds) of the two pilots.
    """
    assert budget.amount is not None
    (first, less), (second, more) = spent
    if budget.kind == "flop":
        slope = (more - less) / (second - first)
        return max(0, round(first + (budget.amount - less) / slope))
    return max(0, round(budget.amount * (first + second) / (less + more)))


def dense_flop(recipe: Recipe, dataset: Dataset) -> int:
    """FLOP of dense training with this recipe: one example's, counted, times the examples of all steps."""
    with torch.random.fork_rng(devices=[]):
        model = dense_network(recipe, dataset).model.train()
        x = torch.zeros(_PROBE, *dataset.x_train.shape[1:])
        with FlopCounterMode(display=False) as counter:
            F.cross_entropy(model(x), torch.zeros(_PROBE, dtype=torch.int64)).backward()
    examples = sum(end - start for start, end in batch_bounds(len(dataset.y_train), recipe.batch_size))
    return round(counter.get_total_flops() / _PROBE * examples * recipe.epochs)
