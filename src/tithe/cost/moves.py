"""Where rewiring moves weights: how many each layer has on average over a training, before it has begun."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tithe.budget import apportion
from tithe.cost.figure import Figure
from tithe.methods.sparse_momentum import FREE_SHARE, drop_count
from tithe.schedule import SCHEDULES

Shapes = Mapping[str, tuple[int, ...]]  # name -> weight shape [out, in] or [out, in, kh, kw]

LEFT_OPEN = Figure(
    *(1.0, "1", "modelled", 0.6, 1.3),
    "change of a step's FLOP by weights that moved / that planned, over the trainings of "
    "benchmarks/plans_say_what_training_takes.py",
)


@dataclass(frozen=True)
class Moves:
    """Rewiring by `SparseMomentum`, which gives what it drops to the layers by their shares of mean |momentum|.

    These shares depend on data and training. Most of what happens follows from the sizes of the layers all the same:
    each drops the same fraction of what it has and gets its share back as far as it has room, so that after some
    rewirings small layers are full and the others stand as the shares do. A share is taken to go with 1 / sqrt(out):
    a layer's outputs and their gradients keep their sum of squares from layer to layer (that is what He's and Glorot's
    initialisations are for), so each of `out` channels carries 1 / sqrt(out) of it, and a weight's gradient adds up
    products of both over examples and positions whose signs are as good as random.

    Args:
        every: steps from one rewiring to the next.
        total_steps: of the training.
        rate: fraction of each layer's weights to drop at first.
        schedule: as `SparseMomentum` has it.
    """

    every: int
    total_steps: int
    rate: float = 0.5
    schedule: str = "cosine"

    def on_average(self, shapes: Shapes, counts: Mapping[str, int]) -> dict[str, int]:
        """Weights of each layer, the mean over the steps of the training; their sum stays what it is.

        Args:
            shapes: of the layers' weights.
            counts: weights that exist at the beginning.
        """
        sums = dict.fromkeys(counts, 0)
        for steps, there in self._stretches(shapes, counts):
            for name, count in there.items():
                sums[name] += steps * count
        means = [total / self.total_steps for total in sums.values()]
        places = [math.prod(shapes[name]) for name in counts]
        found = apportion(sum(counts.values()), means, [1] * len(means), places)
        return dict(zip(counts, found, strict=True))

    def rate_at(self, step: int) -> float:
        """Fraction of each layer's weights that is dropped after this step."""
        return SCHEDULES[self.schedule](step, self.total_steps, self.rate)

    def _stretches(self, shapes: Shapes, counts: Mapping[str, int]) -> Iterator[tuple[int, Mapping[str, int]]]:
        """How many steps the layers have how many weights."""
        step = 0
        for end in range(self.every, self.total_steps, self.every):
            yield end - step, counts
            counts = rewired(shapes, counts, self.rate_at(end))
            step = end
        yield self.total_steps - step, counts


def rewired(shapes: Shapes, counts: Mapping[str, int], rate: float) -> dict[str, int]:
    """Weights of each layer after a rewiring in which it drops the fraction `rate` of its weights."""
    places = {name: math.prod(shapes[name]) for name in counts}
    dropped = {name: drop_count(counts[name], places[name], rate, wants_to_grow=True) for name in counts}
    kept = {name: counts[name] - dropped[name] for name in counts}
    room = [int(FREE_SHARE * (places[name] - kept[name])) for name in counts]
    total = sum(dropped.values())
    if sum(room) < total:  # nearly dense: each takes its own back
        return dict(counts)
    shares = [1 / math.sqrt(shapes[name][0]) for name in counts]
    grown = apportion(total, shares, [0] * len(room), room)
    return {name: kept[name] + more for name, more in zip(counts, grown, strict=True)}
