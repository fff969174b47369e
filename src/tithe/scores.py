"""Which weights to drop and which to grow: pure selections; ties go to the lower index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

# Positions scored at a time. Choosing must cost little memory beside scouting, and topk takes 30 bytes a position.
TILE = 2**18

# (first position, [tile]): the scores of a layer's positions in order, 0 or more, or -1 where nothing may be chosen.
Tiles = Iterable[tuple[int, Tensor]]


def row_tiles(rows: int, cols: int, tile: int = TILE) -> Iterator[slice]:
    """The rows of a layer in pieces: at most `tile` positions or an eighth of the layer, at least a row."""
    size = max(1, min(tile // cols, -(-rows // 8)))
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
    best = None
    for _, tile in tiles():
        pool = tile if best is None else torch.cat([best, tile])
        best = pool.topk(min(count, pool.numel()), sorted=False).values
    if best is None or count == 0:
        return torch.empty(0, dtype=torch.int64)
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
