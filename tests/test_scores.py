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
