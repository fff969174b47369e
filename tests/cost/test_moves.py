"""A plan lets rewiring move weights as sparse momentum does, if momenta are as the plan takes them to be."""

import math

import pytest
import torch

from tithe.budget import counts
from tithe.cost.moves import Moves, rewired
from tithe.methods.sparse_momentum import plan
from tithe.methods.view import LayerView
from tithe.topology import Topology

LENET_5 = {"conv1": (20, 1, 5, 5), "conv2": (50, 20, 5, 5), "fc1": (500, 800), "fc2": (10, 500)}


def view(shape: tuple[int, ...], nnz: int) -> LayerView:
    """A layer in which each weight, there or not, has the momentum 1 / sqrt(out)."""
    rows, cols = shape[0], math.prod(shape[1:])
    places = torch.randperm(rows * cols, generator=torch.Generator().manual_seed(1))[:nnz].sort().values
    mask = torch.zeros(rows * cols, dtype=torch.bool).index_fill(0, places, True).view(rows, cols)
    momentum = 1 / math.sqrt(rows)
    return LayerView(
        topology=Topology.from_mask(mask),
        values=torch.rand(nnz),
        momentum=torch.full((nnz,), momentum),
        signal=lambda rows: torch.full((len(range(*rows.indices(shape[0]))), cols), momentum),
    )


@pytest.mark.parametrize("density", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("rate", [0.5, 0.1])
def test_one_rewiring_is_sparse_momentums(density: float, rate: float) -> None:
    before = counts(LENET_5, density)
    plans = plan({name: view(shape, before[name]) for name, shape in LENET_5.items()}, rate)
    after = {name: before[name] - int(found.drop.sum()) + len(found.grow) for name, found in plans.items()}
    assert rewired(LENET_5, before, rate) == after


def test_the_mean_counts_each_step_once_and_keeps_the_sum() -> None:
    moves = Moves(every=4, total_steps=10)
    first = counts(LENET_5, 0.05)
    second = rewired(LENET_5, first, moves.rate_at(4))
    third = rewired(LENET_5, second, moves.rate_at(8))
    mean = moves.on_average(LENET_5, first)
    assert sum(mean.values()) == sum(first.values())
    for name, count in mean.items():
        assert count == pytest.approx((4 * first[name] + 4 * second[name] + 2 * third[name]) / 10, abs=1)


def test_nothing_moves_without_a_rewiring() -> None:
    before = counts(LENET_5, 0.05)
    assert Moves(every=10, total_steps=10).on_average(LENET_5, before) == before


@pytest.mark.parametrize("density", [0.0006, 0.97, 1.0])
def test_layers_stay_within_what_they_hold(density: float) -> None:
    before = counts(LENET_5, density)
    mean = Moves(every=1, total_steps=40).on_average(LENET_5, before)
    assert sum(mean.values()) == sum(before.values())
    assert all(1 <= count <= math.prod(LENET_5[name]) for name, count in mean.items())
