"""Which fraction of the weights a rewiring replaces: pure functions of the step."""

from __future__ import annotations

import math

FLOOR = 0.005  # both schedules end here (Dettmers & Zettlemoyer's public code, CosineDecay eta_min)


def cosine(step: int, total_steps: int, rate: float) -> float:
    """Half a cosine: `rate` at step 0, 0.005 at `total_steps` (or `rate` where that is smaller)."""
    floor = min(FLOOR, rate)
    return floor + (rate - floor) * (1 + math.cos(math.pi * min(step / total_steps, 1.0))) / 2


def linear(step: int, total_steps: int, rate: float) -> float:
    """A straight line: `rate` at step 0, 0.005 at `total_steps` (or `rate` where that is smaller)."""
    floor = min(FLOOR, rate)
    return rate + (floor - rate) * min(step / total_steps, 1.0)


SCHEDULES = {"cosine": cosine, "linear": linear}
