"""A tactic: a method at a density. Which of them can be tried on this model, and which cannot and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tithe import human
from tithe.errors import UsageError
from tithe.methods import find
from tithe.train.data import Dataset
from tithe.train.defaults import complete
from tithe.train.network import dense_network, sparse_network
from tithe.train.recipe import Recipe
from tithe.tune import search


@dataclass(frozen=True)
class Tactic:
    """A method at a density."""

    method: str
    density: float | None  # None: the method is not asked

    @property
    def name(self) -> str:
        """For people: rigl 5 %."""
        return self.method if self.density is None else f"{self.method} {human.density(self.density)}"

    @property
    def folder(self) -> str:
        """For files: rigl-0.05."""
        return self.method if self.density is None else f"{self.method}-{self.density!r}"

    def options(self, given: dict[str, Any]) -> dict[str, Any]:
        """The fields of a recipe: those that were given, and this tactic's."""
        own = {"method": self.method} | ({} if self.density is None else {"density": self.density})
        return given | own

    def recipe(self, data: str, given: dict[str, Any], shape: tuple[int, ...]) -> Recipe:
        """The recipe for data called so, of this shape of an example; only sparse runs, since dense is a tactic too."""
        return complete(data, self.options(given) | {"compare": "none"}).for_input(shape)


def combined(methods: Iterable[str], densities: Sequence[float]) -> list[Tactic]:
    """Every method at every density, each once; methods without a density once.

    Raises:
        UsageError: a method that is not known, a density out of range.
    """
    tactics = []
    for name in methods:
        takes_density = find(name).start == "sparse" or "density" in find(name).defaults()
        tactics += [Tactic(name, density) for density in (densities if takes_density else (None,))]
    for density in densities:
        Recipe(model=None, density=density)  # says what is wrong with it
    return list(dict.fromkeys(tactics))


def possible(
    tactics: Sequence[Tactic], data: str, dataset: Dataset, given: dict[str, Any]
) -> tuple[list[Tactic], dict[str, str]]:
    """The tactics that this model can be trained with, and why not, by name, for the others.

    Args:
        tactics: those that were asked for.
        data: the data's name, which decides the recipe.
        dataset: the data.
        given: fields of the recipe that were given.

    Raises:
        UsageError: no tactic is possible, or the recipe itself is not.
    """
    shape = tuple(dataset.x_train.shape[1:])
    dense_network(complete(data, given).for_input(shape), dataset)  # says what is wrong with model and recipe
    left_out: dict[str, str] = {}
    for tactic in tactics:
        try:
            recipe = tactic.recipe(data, given, shape)
            with torch.random.fork_rng(devices=[]):
                sparse_network(recipe, dataset)
            if find(tactic.method).searches:
                search.check(recipe, dataset)
        except UsageError as error:
            left_out[tactic.name] = str(error)
    if len(left_out) == len(tactics):
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise UsageError(f"none of the methods can be used here: {reasons}")
    return [tactic for tactic in tactics if tactic.name not in left_out], left_out
