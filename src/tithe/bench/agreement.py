"""Whether a system computes what the dense layer with the same weights computes; one that does not is not timed."""

import torch
from torch import Tensor

TOLERANCE = {"layer": 1e-4, "step": 1e-2}  # relative to the norm; in a network, rounding flips a ReLU here and there
TOLERANCE_BFLOAT16 = {"layer": 3e-2, "step": 0.3}  # 8 bits of mantissa


def disagreement(
    found: dict[str, Tensor],
    wanted: dict[str, Tensor],
    tolerance: float,
    rounded: dict[str, Tensor] | None = None,
) -> str | None:
    """What is wrong with these results beside the dense ones, in words; None: nothing.

    The error is |found - wanted| / |wanted|, Euclidean norms over each whole tensor. `rounded` is what dense has in
    bfloat16: through a deep network rounding adds up, so twice its error is allowed where that is more than the tolerance.
    """
    for name, right in wanted.items():
        if name not in found:
            return f"wrong numbers: no {name}"
        if found[name].shape != right.shape:
            return f"wrong numbers: {name} of shape {list(found[name].shape)} for {list(right.shape)}"
        error = _error(found[name], right)
        allowed = tolerance if rounded is None else max(tolerance, 2 * _error(rounded[name], right))
        if not error <= allowed:  # NaN is wrong too
            return f"wrong numbers: {name} is off by {error:.2g} of its norm (measured; {allowed:.2g} is allowed)"
    return None


def _error(found: Tensor, right: Tensor) -> float:
    norm = float(torch.linalg.vector_norm(right))
    return float(torch.linalg.vector_norm(found - right)) / (norm or 1.0)
