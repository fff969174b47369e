"""Who competes in `expert-or-flexible`: each sees some columns of a table and predicts a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tithe.studies.linear_models import lasso, least_squares
from tithe.studies.small_networks import DENSITY, train

Array = np.ndarray
Predict = Callable[[Array], Array]
KNOWN = 0.9  # share of the right columns that the expert knows

ORACLE, EXPERT, FLEXIBLE, LASSO = "oracle", "expert", "least squares", "lasso"
DENSE, SPARSE = "dense network", "sparse network"
ORACLE_NETWORK, EXPERT_NETWORK = "oracle's network", "expert's network"
LINEAR = (ORACLE, EXPERT, FLEXIBLE, LASSO)
INFORMED = (ORACLE, EXPERT, ORACLE_NETWORK, EXPERT_NETWORK)


@dataclass(frozen=True)
class Fitted:
    """A contender that has learned."""

    predict: Predict  # examples [n, p], all columns -> predictions [n]
    flop: float
    weights: Array | None = None  # [p] of a linear one


def fit(name: str, x: Array, y: Array, right: Sequence[int], seed: int, steps: int) -> Fitted:
    """Let a contender learn.

    Args:
        name: one of those above.
        x: examples [n, p], columns centred.
        y: targets [n], centred.
        right: columns that matter; the oracle gets them, the expert the first nine tenths of them.
        seed: of folds, weights and batches.
        steps: of a network, at most.
    """
    columns = _columns(name, x.shape[1], right)
    seen = x[:, columns]
    if name in LINEAR:
        found, flop = lasso(seen, y, seed) if name == LASSO else least_squares(seen, y)
        weights = np.zeros(x.shape[1])
        weights[columns] = found
        return Fitted(lambda new: new @ weights, flop, weights)
    network = train(seen, y, seed, DENSITY if name == SPARSE else None, steps)
    return Fitted(lambda new: network.predict(new[:, columns]), network.flop)


def _columns(name: str, count: int, right: Sequence[int]) -> Array:
    if name in (ORACLE, ORACLE_NETWORK):
        return np.array(right)
    if name in (EXPERT, EXPERT_NETWORK):
        return np.array(right[: round(KNOWN * len(right))])
    return np.arange(count)
