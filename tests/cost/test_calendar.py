"""Steps of each kind, beside a loop that asks the method itself."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import tithe
from tithe.cost.calendar import Calendar, Epoch, Kind, calendar


def looped(examples: int, batch: int, epochs: int, every: int, window: int) -> Calendar:
    """What `SparseMomentum` does, step by step."""
    epoch = [min(batch, examples - start) for start in range(0, examples, batch)]
    model = tithe.sparsify(nn.Sequential(nn.Linear(4, 4)), 0.5)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    total = epochs * len(epoch)
    method = tithe.SparseMomentum(model, optimizer, every=every, total_steps=total, scout_steps=window)
    steps: dict[Kind, int] = {}
    for size in epoch * epochs:
        kind = Kind(size, method.scouting)
        steps[kind] = steps.get(kind, 0) + 1
        model(torch.ones(1, 4)).sum().backward()
        method.step()
        optimizer.zero_grad()
    return Calendar(steps, len(method.history))


@given(
    examples=st.integers(1, 40),
    batch=st.integers(1, 12),
    epochs=st.integers(1, 5),
    every=st.integers(1, 30),
    window=st.integers(1, 40),
)
def test_counts_are_those_of_a_loop(examples, batch, epochs, every, window):
    wanted = looped(examples, min(batch, examples), epochs, every, window)
    assert calendar(Epoch.of(examples, batch), epochs, every, window) == wanted


def test_a_long_training_is_counted_at_once():
    found = calendar(Epoch.of(10**12 + 1, 100), 3, 10**8, 44)
    assert found.total == 3 * (10**10 + 1)
    assert found.rewirings == 300
    assert found.scouting == 300 * 44


@pytest.mark.parametrize(("examples", "batch", "epochs"), [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_what_is_no_training_is_refused(examples, batch, epochs):
    with pytest.raises(tithe.UsageError, match="give 1 or more"):
        calendar(Epoch.of(examples, batch), epochs, 1, 1)
