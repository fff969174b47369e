"""How many steps of each kind a training has: full and last batches, with and without scouting; and rewirings."""

from __future__ import annotations

from dataclasses import dataclass

from tithe.errors import UsageError


@dataclass(frozen=True)
class Kind:
    """Steps that cost the same."""

    batch: int  # examples
    scouting: bool


@dataclass(frozen=True)
class Calendar:
    """The steps of a whole training."""

    steps: dict[Kind, int]
    rewirings: int

    @property
    def total(self) -> int:
        """Steps in all."""
        return sum(self.steps.values())

    @property
    def scouting(self) -> int:
        """Steps with dense gradients."""
        return sum(count for kind, count in self.steps.items() if kind.scouting)


@dataclass(frozen=True)
class Epoch:
    """The batches of one epoch: `full` of `batch` examples, then one of `last` examples if that is not 0."""

    batch: int
    full: int
    last: int = 0

    @classmethod
    def of(cls, examples: int, batch: int) -> Epoch:
        """All examples once, in batches of at most `batch`.

        Raises:
            UsageError: no examples, or batches of none.
        """
        for what, number in (("examples", examples), ("batch size", batch)):
            if number < 1:
                raise UsageError(f"{what} {number} is not possible: give 1 or more.")
        batch = min(batch, examples)
        return cls(batch, examples // batch, examples % batch)

    @property
    def steps(self) -> int:
        """Batches."""
        return self.full + (self.last > 0)


def calendar(epoch: Epoch, epochs: int, every: int, window: int) -> Calendar:
    """The calendar of `epochs` epochs, rewired every `every` steps but not at the end.

    Scouting takes the last `window` steps before each rewiring, as `SparseMomentum` has it.

    Raises:
        UsageError: fewer than one epoch or step.
    """
    for what, number in (("epochs", epochs), ("rewire every", every), ("scout steps", window)):
        if number < 1:
            raise UsageError(f"{what} {number} is not possible: give 1 or more.")
    total = epochs * epoch.steps
    rewirings = (total - 1) // every
    window = min(window, every)
    scouted = rewirings * window
    scouted_last = 0
    if epoch.last:  # the last batch of an epoch is a step whose number is a multiple of the epoch's steps
        ends = range(every, rewirings * every + 1, every)
        scouted_last = sum(end // epoch.steps - (end - window) // epoch.steps for end in ends)
    last = epochs if epoch.last else 0
    steps = {
        Kind(epoch.batch, False): total - last - (scouted - scouted_last),
        Kind(epoch.batch, True): scouted - scouted_last,
        Kind(epoch.last, False): last - scouted_last,
        Kind(epoch.last, True): scouted_last,
    }
    return Calendar({kind: count for kind, count in steps.items() if count}, rewirings)
