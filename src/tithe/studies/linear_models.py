"""Least squares and lasso as studies use them: weights and the FLOP that finding them took.

2 FLOP a multiply-add. Least squares on n examples of p features: n p min(n, p), the products of features or of
examples. Lasso's are modelled: passes over the coordinates, as scikit-learn counts them, times the p min(n, p) of one.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

Array = np.ndarray
FOLDS, PENALTIES, SMALLEST = 5, 30, 0.02  # of the cross-validation; the smallest penalty as a share of the largest


def least_squares(x: Array, y: Array) -> tuple[Array, float]:
    """w [p] that minimises |x w - y|; the smallest such w where several do.

    Args:
        x: examples [n, p].
        y: targets [n].
    """
    n, p = x.shape
    if n >= p:
        return np.linalg.lstsq(x, y, rcond=None)[0], 2.0 * n * p * p
    return x.T @ np.linalg.lstsq(x @ x.T, y, rcond=None)[0], 2.0 * n * n * p


def lasso(x: Array, y: Array, seed: int) -> tuple[Array, float]:
    """w [p] with the penalty on |w| that five-fold cross-validation finds best."""
    from sklearn.linear_model import lasso_path

    n, p = x.shape
    penalties = np.geomspace(1, SMALLEST, PENALTIES) * np.abs(x.T @ y).max() / n
    fold = np.random.default_rng(seed).permutation(n) % FOLDS
    errors, passes = np.zeros(PENALTIES), 0.0

    def path(chosen: Array) -> tuple[Array, float]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some penalties are too small to converge: they do not predict well either
            how: dict[str, Any] = {"alphas": penalties, "return_n_iter": True, "max_iter": 200}
            _, weights, _, iterations = lasso_path(np.asfortranarray(x[chosen]), y[chosen], **how)
        return weights, float(np.sum(iterations))

    for held_out in range(FOLDS):
        weights, took = path(fold != held_out)
        errors += ((x[fold == held_out] @ weights - y[fold == held_out, None]) ** 2).sum(0)
        passes += took
    weights, took = path(np.ones(n, bool))
    gram = 2.0 * n * p * p * FOLDS if n > p else 0.0  # products of features, of 4/5 of the data five times and of all
    return weights[:, errors.argmin()], 2.0 * p * min(n, p) * (passes + took) + gram
