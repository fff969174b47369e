"""What a method sees of a layer that has been scouted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tithe.scores import row_tiles
from tithe.topology import Topology


@dataclass(frozen=True)
class LayerView:
    """A layer's weights, and a signal for every place that a weight could have."""

    topology: Topology
    values: Tensor  # [nnz]
    momentum: Tensor  # [nnz], the signal at the existing weights
    signal: Callable[[slice], Tensor]  # rows -> [len(rows), cols], the signal at all; made a few rows at a time

    def scores(self, drop: Tensor) -> Iterator[tuple[int, Tensor]]:
        """|signal| of the places that are free once `drop` (bool [nnz]) is gone, as `tithe.scores` takes it."""
        topology, cols = self.topology, self.topology.shape[1]
        for rows in row_tiles(*topology.shape):
            tile = self.signal(rows).abs().reshape(-1)
            pointers = topology.indptr[rows.start : rows.stop + 1].long()
            here = slice(int(pointers[0]), int(pointers[-1]))
            places = torch.repeat_interleave(pointers.diff()) * cols + topology.indices[here].long()
            tile[places] = torch.where(drop[here], self.momentum[here].abs(), -1)
            yield rows.start * cols, tile
