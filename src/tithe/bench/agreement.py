"""Whether a system computes what the dense layer with the same weights computes; one that does not is not timed."""

from math import isfinite
from statistics import median

import torch
from torch import Tensor

TOLERANCE = {"layer": 1e-4, "step": 1e-2}  # relative to the norm; in a network, rounding flips a ReLU here and there
TOLERANCE_BFLOAT16 = {"layer": 3e-2, "step": 3e-2}  # 8 bits of mantissa


def disagreement(
    found: dict[str, Tensor],
    wanted: dict[str, Tensor],
    tolerance: float,
    rounded: dict[str, Tensor] | None = None,
) -> str | None:
    """What is wrong with these results beside the dense ones, in words; None: nothing.

    The error is |found - wanted| / |wanted|, Euclidean norms over each whole tensor. `rounded` is what dense has in
    bfloat16. Through a deep network rounding adds up, and a channel that is nearly constant blows it up, so the middle
    one of the errors is compared then, and may be twice that of dense.
    """
    errors, theirs = [], []
    for name, right in wanted.items():
        if name not in found:
            return f"wrong numbers: no {name}"
        if found[name].shape != right.shape:
            return f"wrong numbers: {name} of shape {list(found[name].shape)} for {list(right.shape)}"
        error = _error(found[name], right)
        if rounded is not None:
            errors.append(error)
            theirs.append(_error(rounded[name], right))
        elif not error <= tolerance:  # NaN is wrong too
            return f"wrong numbers: {name} is off by {error:.2g} of its norm (measured; {tolerance:g} is allowed)"
    if rounded is None:
        return None
    middle, allowed = median(errors), max(tolerance, 2 * median(theirs))
    if all(map(isfinite, errors)) and middle <= allowed:
        return None
    return f"wrong numbers: the middle tensor is off by {middle:.2g} of its norm (measured; {allowed:.2g} is allowed)"


def _error(found: Tensor, right: Tensor) -> float:
    norm = float(torch.linalg.vector_norm(right))
    return float(torch.linalg.vector_norm(found - right)) / (norm or 1.0)
