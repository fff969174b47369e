"""What one use of a trained network takes: FLOP counted and seconds measured, on the network that came out."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from tithe.train.loop import Training

BATCH = 512  # examples, or as many as the test set has
LEAST_PASSES, LEAST_SECONDS = 5, 0.2


@torch.no_grad()
def measured(training: Training) -> dict[str, Any]:
    """{"flop", "seconds", "batch"}: of one example, in batches of so many; the network is left as it was."""
    model = training.network.model
    was_training = model.training
    model.eval()
    x = training.normalise(training.dataset.x_test[:BATCH])
    with torch.autocast("cpu", torch.bfloat16, enabled=training.recipe.bf16):
        with FlopCounterMode(display=False) as counter:
            model(x)
        times = _times(model, x)
    model.train(was_training)
    return {
        "flop": counter.get_total_flops() / len(x),
        "seconds": statistics.median(times) / len(x),
        "batch": len(x),
    }


def _times(model: torch.nn.Module, x: torch.Tensor) -> list[float]:
    """Seconds of each of a few passes."""
    times: list[float] = []
    while len(times) < LEAST_PASSES or sum(times) < LEAST_SECONDS:
        start = time.perf_counter()
        model(x)
        times.append(time.perf_counter() - start)
    return times
