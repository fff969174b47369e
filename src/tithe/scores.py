"""Which weights to drop and which to grow: pure selections; ties go to the lower index."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

TILE = (
    2**18
)  # positions scored at a time: choosing must cost little memory beside scouting, and topk needs 30 bytes each


def row_tiles(rows: int, cols: int, tile: int = TILE) -> Iterator[slice]:
    """The rows of a layer in pieces: at most `tile` positions or an eighth of the layer, at least a row."""
    size = max(1, min(tile // cols, -(-rows // 8)))
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def weakest(values: Tensor, count: int) -> Tensor:
    """int64 [count], ascending: the indices of the smallest |value|."""
    order = values.detach().abs().sort(stable=True).indices
    return order[:count].sort().values


def count_above(signal: Callable[[slice], Tensor], shape: tuple[int, int], taken: Tensor, least: float) -> int:
    """How many positions outside `taken` (int64, ascending) have a |signal| above `least` (0 or more)."""
    return sum(int(_scores(signal, rows, shape, taken).gt(least).sum()) for rows in row_tiles(*shape))


def strongest(signal: Callable[[slice], Tensor], shape: tuple[int, int], taken: Tensor, count: int) -> Tensor:
    """int64 [count], ascending: the positions outside `taken` whose |signal| is largest.

    Args:
        signal: rows -> [len(rows), cols], made when asked for and thrown away.
        shape: (rows, cols) of the layer.
        taken: positions that may not be chosen, int64, ascending.
        count: how many; at most rows * cols - len(taken).
    """
    scores = torch.empty(0, dtype=torch.float64)
    positions = torch.empty(0, dtype=torch.int64)
    for rows in row_tiles(*shape):
        tile = _scores(signal, rows, shape, taken)
        # Everything at or above the tile's own count-th score: all ties are kept here and cut once, below.
        least = tile.topk(min(count, tile.numel())).values[-1:] if count else tile.new_full((1,), torch.inf)
        index = (tile >= least).logical_and_(tile >= 0).nonzero().reshape(-1)
        scores = torch.cat([scores.to(tile), tile[index]])
        positions = torch.cat([positions.to(index), index + rows.start * shape[1]])
        best = scores.sort(descending=True, stable=True).indices[:count].sort().values
        scores, positions = scores[best], positions[best]
    return positions


def _scores(signal: Callable[[slice], Tensor], rows: slice, shape: tuple[int, int], taken: Tensor) -> Tensor:
    """|signal| of these rows as a vector; -1 where the position is taken."""
    scores = signal(rows).abs().reshape(-1)
    first, end = rows.start * shape[1], rows.stop * shape[1]
    ends = torch.tensor([first, end], device=taken.device)
    begin, stop = torch.searchsorted(taken, ends).tolist()
    scores[taken[begin:stop] - first] = -1
    return scores
