"""Which fraction of the weights a rewiring replaces: pure functions of the step."""

from __future__ import annotations

import math

FLOOR = 0.005  # eta_min of the cosine in Dettmers & Zettlemoyer's public code; their linear schedule goes on to 0


def cosine(step: int, total_steps: int, rate: float) -> float:
    """Half a cosine: `rate` at step 0, 0.005 at `total_steps` (or `rate` where that is smaller)."""
    floor = min(FLOOR, rate)
    return floor + (rate - floor) * (1 + math.cos(math.pi * min(step / total_steps, 1.0))) / 2


def linear(step: int, total_steps: int, rate: float) -> float:
    """A straight line: `rate` at step 0, 0.005 at `total_steps` (or `rate` where that is smaller)."""
    floor = min(FLOOR, rate)
    return rate + (floor - rate) * min(step / total_steps, 1.0)


def cosine_to_zero(step: int, total_steps: int, rate: float) -> float:
    """Half a cosine from `rate` at step 0 to 0 at `total_steps` (RigL, arXiv 1911.11134, section 3, "f_decay")."""
    return rate * (1 + math.cos(math.pi * min(step / total_steps, 1.0))) / 2


def constant(_step: int, _total_steps: int, rate: float) -> float:
    """`rate` at every step."""
    return rate


def cubic(step: int, begin: int, end: int) -> float:
    """How far pruning is on its way from the first density to the last, 0 at `begin`, 1 at `end`: 1 - (1 - t)^3.

    Zhu & Gupta 2017, arXiv 1710.01878, equation 1 (unchecked): fast at first, where many weights are superfluous.
    """
    done = min(max((step - begin) / max(end - begin, 1), 0.0), 1.0) if step < end else 1.0
    return 1 - (1 - done) ** 3


SCHEDULES = {"cosine": cosine, "linear": linear, "cosine-to-zero": cosine_to_zero, "constant": constant}
