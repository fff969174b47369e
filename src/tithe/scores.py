"""Which weights to drop and which to grow: pure selections; ties go to the lower index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

# Positions scored at a time. Choosing must cost little memory beside scouting, and topk takes 30 bytes a position.
TILE = 2**18

# (first position, [tile]): the scores of a layer's positions in order, 0 or more, or -1 where nothing may be chosen.
Tiles = Iterable[tuple[int, Tensor]]


def row_tiles(rows: int, cols: int, tile: int = TILE, least: int = 8) -> Iterator[slice]:
    """The rows of a layer in at least `least` pieces of at most `tile` positions, but at least a row each."""
    size = max(1, min(tile // cols, -(-rows // least)))
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def weakest(values: Tensor, count: int) -> Tensor:
    """Bool [len(values)]: True at the `count` smallest |value|."""
    size = values.detach().abs()
    if count == 0:
        return torch.zeros_like(size, dtype=torch.bool)
    limit = size.kthvalue(count).values
    chosen = size < limit
    ties = (size == limit).nonzero().reshape(-1)
    chosen[ties[: count - int(chosen.sum())]] = True
    return chosen


def count_above(tiles: Tiles, least: float) -> int:
    """How many positions have a score above `least` (0 or more)."""
    return sum(int(tile.gt(least).sum()) for _, tile in tiles)


def strongest(tiles: Callable[[], Tiles], count: int) -> Tensor:
    """int64 [count], ascending: the positions with the largest scores; `count` at most those that may be chosen.

    Goes over the tiles twice, first for the count-th largest score, then for the places: so only scores are kept, and
    never more than `count` and a tile of them.
    """
    if count == 0:
        return torch.empty(0, dtype=torch.int64)
    best = _largest(tiles(), count)
    limit = best.min()
    ties = int((best == limit).sum())  # of all that equal the limit, so many are chosen, the first ones
    found = []
    for first, tile in tiles():
        chosen = tile > limit
        equal = (tile == limit).nonzero().reshape(-1)[:ties]
        ties -= equal.numel()
        chosen[equal] = True
        found.append(chosen.nonzero().reshape(-1).add_(first))
    return torch.cat(found)


def _largest(tiles: Tiles, count: int) -> Tensor:
    """[count], in no order: the largest scores of those that may be chosen."""
    best, limit = torch.empty(0), torch.tensor(-1.0)
    for _, tile in tiles:
        # What only equals the limit changes neither it nor how many are above it. Few are above it after the first
        # tiles: choosing among them is put off until it is worth a topk.
        best = torch.cat([best.to(tile), tile[tile > limit.to(tile)]])
        if best.numel() > count + tile.numel() // 8:
            best = best.topk(count, sorted=False).values
            limit = best.min()
    return best.topk(min(count, best.numel()), sorted=False).values
