"""Which weights to drop and which to grow: pure selections; ties go to the lower index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from tithe.topology import distinct

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
    return smallest(values.detach().abs(), count)


def smallest(scores: Tensor, count: int) -> Tensor:
    """Bool [len(scores)]: True at the `count` smallest."""
    if count == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    limit = scores.kthvalue(count).values
    chosen = scores < limit
    ties = (scores == limit).nonzero().reshape(-1)
    chosen[ties[: count - int(chosen.sum())]] = True
    return chosen


def smallest_of_all(scores: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Bool [nnz] for each layer: True at the `count` smallest scores of all layers, but each keeps its largest one.

    `count` is at most the number of scores less the number of layers; ties go to the earlier layer.
    """
    flat = torch.cat([score.detach() for score in scores.values()])
    start = 0
    for score in scores.values():
        flat[start + int(score.argmax())] = torch.inf
        start += score.numel()
    chosen = smallest(flat, count)
    return dict(zip(scores, chosen.split([score.numel() for score in scores.values()]), strict=True))


def random_free(kept: Tensor, logical: int, count: int, generator: torch.Generator) -> Tensor:
    """int64 [count], ascending: places drawn from those of range(logical) that are not in `kept` (int64, ascending).

    Every set of that size is equally likely. Nothing as large as the layer is made where few places are taken.
    """
    # A free place is known by how many free ones come before it; before kept[i] there are kept[i] - i.
    ranks = distinct(logical - kept.numel(), count, generator).to(kept.device)
    before = kept - torch.arange(kept.numel(), device=kept.device)
    return ranks + torch.searchsorted(before, ranks, right=True)


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


def strongest_by_row(tiles: Callable[[], Tiles], cols: int, counts: Sequence[int]) -> Tensor:
    """int64 [sum of counts], ascending: in each row of `cols` positions, so many with the largest scores.

    Tiles hold whole rows; a count is at most the positions of its row that may be chosen.
    """
    found = [torch.empty(0, dtype=torch.int64)]
    for first, tile in tiles():
        order = tile.view(-1, cols).argsort(dim=1, descending=True, stable=True)
        for row, best in enumerate(order, start=first // cols):
            found.append(best[: counts[row]].sort().values.add_(row * cols))
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
