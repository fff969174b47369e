"""What one pass will cost, from a pass with a part of the batch."""

import time

from torch import Tensor, nn

from tithe.bench.contestants import System
from tithe.bench.rows import Row
from tithe.bench.trial import trial

PART = 16  # of the batch
LEAST = 2  # examples: a batch norm refuses to train on one


def pass_seconds(system: System, row: Row, model: nn.Module, x: Tensor) -> float:
    """Seconds of a pass of the dense model with the whole batch x, modelled: in proportion to the examples."""
    part = x[: max(LEAST, len(x) // PART)]
    made = trial(system, row, model, {}, part)
    start = time.perf_counter()
    made.run()
    return (time.perf_counter() - start) * len(x) / len(part)
