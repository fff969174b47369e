"""How many epochs each tactic gets, so that all spend the same: two short trainings of each tell what an epoch takes.

Epochs and rewirings, with the scouting before them, are what FLOP go into:

    FLOP(E) = epoch E + rewiring R(E),  R(E) = (E steps - 1) // every, with `steps` an epoch

The first pilot is as long as the time between two rewirings (in whole epochs), the second twice as long, so that they
tell the two prices apart; where they do not, FLOP(E) is the straight line through both. Seconds are too uneven for
that: seconds(E) = E (all seconds) / (all epochs).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from tithe.compare.budget import Budget
from tithe.train.data import Dataset
from tithe.train.network import dense_network
from tithe.train.recipe import Recipe, Timetable, batch_bounds, timetable

CLOSE = {"flop": 0.02, "seconds": 0.05}  # fractions of the budget: what comes as close is not tried again
MOST_TRIALS, MOST_AHEAD = 5, 3  # a trial has at most so many times the epochs of the closest before
REACH = 20  # epochs around the straight line's answer that are looked at
_PROBE = 2  # examples; batch normalisation cannot take one


def lengths(recipe: Recipe, n_train: int) -> tuple[int, int]:
    """Epochs of the two pilots."""
    times = timetable(recipe, n_train)
    period = math.ceil(times.rewire_every / times.steps_per_epoch)
    return period, 2 * period


def epochs_for(budget: Budget, spent: Sequence[tuple[int, float]], times: Timetable) -> int:
    """How many epochs come nearest to the budget; 0 where one takes more than twice of it.

    Args:
        budget: in FLOP or seconds, with its amount.
        spent: (epochs, FLOP or seconds) of the two pilots.
        times: of the tactic, for its steps an epoch and between rewirings.
    """
    assert budget.amount is not None
    if budget.kind == "seconds":
        return round(budget.amount * sum(epochs for epochs, _ in spent) / sum(seconds for _, seconds in spent))
    takes, amount = _stairs(spent, times) or _line(spent), budget.amount
    guess = max(0, _inverse(spent, amount))
    near = range(max(0, guess - REACH), guess + REACH + 1)
    return min(near, key=lambda epochs: abs((takes(epochs) if epochs else 0.0) - amount))


def closer(budget: Budget, tried: Mapping[int, float]) -> tuple[int, int | None]:
    """Which trial came closest to the budget, and with how many epochs the next may come closer; None: with none.

    Args:
        budget: in FLOP or seconds, with its amount.
        tried: epochs -> FLOP or seconds.
    """
    assert budget.amount is not None
    amount = budget.amount
    closest = min(tried, key=lambda epochs: abs(tried[epochs] - amount))
    if abs(tried[closest] - amount) <= CLOSE[budget.kind] * amount or len(tried) >= MOST_TRIALS:
        return closest, None
    if budget.kind == "seconds":
        latest = list(tried)[-1]  # a machine is now as fast as it was last, if it is ever the same
        after = latest * amount / tried[latest]
    else:
        after = _through(closest, _beside(closest, tried, amount), tried, amount)
    after = min(max(1, round(after)), MOST_AHEAD * max(tried))
    return closest, None if after in tried else after


def _beside(closest: int, tried: Mapping[int, float], amount: float) -> int:
    """The trial nearest to the budget on its other side, else the next nearest, else nothing: no epochs, no cost."""
    others = sorted((epochs for epochs in tried if epochs != closest), key=lambda epochs: abs(tried[epochs] - amount))
    opposite = [epochs for epochs in others if (tried[epochs] < amount) != (tried[closest] < amount)]
    return (opposite or others or [0])[0]


def _through(first: int, second: int, tried: Mapping[int, float], amount: float) -> float:
    """Where the straight line through both meets the budget; one that falls is not believed."""
    run, rise = first - second, tried[first] - tried.get(second, 0.0)
    if run * rise <= 0:
        run, rise = first, tried[first]
    return first + (amount - tried[first]) * run / rise


def _line(spent: Sequence[tuple[int, float]]) -> Callable[[int], float]:
    (first, less), (second, more) = spent
    return lambda epochs: less + (epochs - first) * (more - less) / (second - first)


def _inverse(spent: Sequence[tuple[int, float]], amount: float) -> int:
    (first, less), (second, more) = spent
    return round(first + (amount - less) * (second - first) / (more - less))


def _stairs(spent: Sequence[tuple[int, float]], times: Timetable) -> Callable[[int], float] | None:
    """FLOP(E) as above; None where the pilots do not tell the price of an epoch from that of a rewiring."""

    def rewirings(epochs: int) -> int:
        return (epochs * times.steps_per_epoch - 1) // times.rewire_every

    (first, less), (second, more) = spent
    determinant = first * rewirings(second) - second * rewirings(first)
    if determinant == 0:
        return None
    epoch = (less * rewirings(second) - more * rewirings(first)) / determinant
    rewiring = (first * more - second * less) / determinant
    return lambda epochs: epoch * epochs + rewiring * rewirings(epochs)


def dense_flop(recipe: Recipe, dataset: Dataset) -> int:
    """FLOP of dense training with this recipe: one example's, counted, times the examples of all steps."""
    with torch.random.fork_rng(devices=[]):
        model = dense_network(recipe, dataset).model.train()
        x = torch.zeros(_PROBE, *dataset.x_train.shape[1:])
        with FlopCounterMode(display=False) as counter:
            F.cross_entropy(model(x), torch.zeros(_PROBE, dtype=torch.int64)).backward()
    examples = sum(end - start for start, end in batch_bounds(len(dataset.y_train), recipe.batch_size))
    return round(counter.get_total_flops() / _PROBE * examples * recipe.epochs)
