"""Scores: what is dropped and grown, against a plain sort of everything."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from tithe import scores


def tiles(dense: Tensor, taken: Tensor, size: int = 7) -> scores.Tiles:
    """|dense| in pieces of a few positions, -1 where taken."""
    free = dense.abs().view(-1).clone()
    free[taken] = -1
    return ((start, free[start : start + size]) for start in range(0, len(free), size))


@st.composite
def choices(draw: st.DrawFn) -> tuple[Tensor, Tensor, int]:
    """A dense signal with many ties, taken positions, and how many to choose."""
    rows, cols = draw(st.integers(1, 25)), draw(st.integers(1, 12))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    levels = draw(st.sampled_from([1, 3, 1000]))
    dense = torch.randint(-levels, levels + 1, (rows, cols), generator=generator).float()
    taken = (torch.rand(rows * cols, generator=generator) < draw(st.sampled_from([0.0, 0.3, 1.0]))).nonzero().view(-1)
    return dense, taken, draw(st.integers(0, rows * cols - len(taken)))


def plain_choice(dense: Tensor, taken: Tensor, count: int) -> list[int]:
    """Sort all free positions by (-|signal|, position)."""
    free = sorted(set(range(dense.numel())) - set(taken.tolist()), key=lambda p: (-abs(float(dense.view(-1)[p])), p))
    return sorted(free[:count])


@given(choices())
@example((torch.ones(1, 1), torch.tensor([0]), 0))
@example((torch.zeros(9, 3), torch.empty(0, dtype=torch.int64), 27))
def test_strongest_is_the_plain_choice(choice: tuple[Tensor, Tensor, int]) -> None:
    dense, taken, count = choice
    chosen = scores.strongest(lambda: tiles(dense, taken), count)
    assert chosen.dtype == torch.int64
    assert chosen.tolist() == plain_choice(dense, taken, count)


def test_strongest_of_equals_is_the_first() -> None:
    empty = torch.empty(0, dtype=torch.int64)
    assert scores.strongest(lambda: tiles(torch.ones(20, 5), empty), 7).tolist() == list(range(7))


def test_strongest_counts_a_zero_signal_last_but_counts_it() -> None:
    dense = torch.zeros(4, 4)
    dense[2, 1] = -3.0
    assert scores.strongest(lambda: tiles(dense, torch.tensor([0])), 3).tolist() == [1, 2, 9]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_strongest_tells_neighbours_apart(dtype: torch.dtype) -> None:
    """Scores that differ in their last bit are different scores."""
    dense = torch.ones(16, 4, dtype=dtype)
    dense[9, 2] = torch.nextafter(dense[9, 2], torch.tensor(2.0, dtype=dtype))
    empty = torch.empty(0, dtype=torch.int64)
    assert scores.strongest(lambda: tiles(dense, empty), 1).tolist() == [38]


@given(choices(), st.sampled_from([0.0, 1.0, 2.5]))
def test_count_above(choice: tuple[Tensor, Tensor, int], least: float) -> None:
    dense, taken, _ = choice
    free = torch.ones(dense.numel(), dtype=torch.bool)
    free[taken] = False
    expected = int((dense.abs().view(-1)[free] > least).sum())
    assert scores.count_above(tiles(dense, taken), least) == expected


@given(st.lists(st.integers(-3, 3), max_size=30), st.integers(0, 30))
def test_weakest_is_the_plain_choice(numbers: list[int], count: int) -> None:
    count = min(count, len(numbers))
    chosen = scores.weakest(torch.tensor(numbers, dtype=torch.float32, requires_grad=True), count)
    assert chosen.dtype == torch.bool
    plain = sorted(sorted(range(len(numbers)), key=lambda i: (abs(numbers[i]), i))[:count])
    assert chosen.nonzero().view(-1).tolist() == plain


@given(st.integers(1, 200), st.integers(1, 50), st.integers(1, 300), st.integers(1, 9))
def test_tiles_cover_every_row_once_and_stay_small(rows: int, cols: int, most: int, least: int) -> None:
    pieces = list(scores.row_tiles(rows, cols, most, least))
    assert [row for piece in pieces for row in range(rows)[piece]] == list(range(rows))
    sizes = [piece.stop - piece.start for piece in pieces]
    assert all(size == 1 or (size * cols <= most and size <= -(-rows // least)) for size in sizes)


@given(sizes=st.lists(st.integers(1, 20), min_size=1, max_size=5), levels=st.sampled_from([1, 3, 1000]), data=st.data())
def test_smallest_of_all_is_the_plain_choice_and_leaves_each_its_largest(sizes, levels, data) -> None:
    parts = {
        str(layer): torch.tensor(
            data.draw(st.lists(st.integers(-levels, levels), min_size=size, max_size=size)), dtype=torch.float32
        )
        for layer, size in enumerate(sizes)
    }
    count = data.draw(st.integers(0, sum(sizes) - len(sizes)))
    found = scores.smallest_of_all(parts, count)
    free = []
    for layer, part in parts.items():
        best = max(range(len(part)), key=lambda i, part=part: (float(part[i]), -i))
        free += [(float(score), int(layer), i) for i, score in enumerate(part) if i != best]
    wanted = {(layer, i) for _, layer, i in sorted(free)[:count]}
    assert {(int(layer), int(i)) for layer, drop in found.items() for i in drop.nonzero()} == wanted


@given(logical=st.integers(1, 60), seed=st.integers(0, 1000), data=st.data())
def test_random_free_draws_from_what_is_free(logical: int, seed: int, data: st.DataObject) -> None:
    kept = torch.tensor(sorted(data.draw(st.sets(st.integers(0, logical - 1)))), dtype=torch.int64)
    count = data.draw(st.integers(0, logical - len(kept)))
    drawn = scores.random_free(kept, logical, count, torch.Generator().manual_seed(seed))
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert len(drawn) == count
    assert not set(drawn.tolist()) & set(kept.tolist())
    assert count == 0 or 0 <= int(drawn.min()) <= int(drawn.max()) < logical


def test_random_free_draws_every_place_alike() -> None:
    kept, times = torch.tensor([0, 3, 4, 9]), torch.zeros(10)
    for seed in range(600):
        times[scores.random_free(kept, 10, 2, torch.Generator().manual_seed(seed))] += 1
    assert times[kept].sum() == 0
    free = [place for place in range(10) if place not in kept]
    assert times[free].min() > 150, times  # 200 on average, standard deviation 12
    assert times[free].max() < 250, times
