"""Growing at random: what SET, DeepR and DSR share."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tithe.rewire import LayerPlan
from tithe.scores import random_free
from tithe.topology import Topology


def grown_at_random(topology: Topology, drop: Tensor, count: int, generator: torch.Generator) -> LayerPlan:
    """Drop `drop` (bool [nnz]) and grow `count` weights anywhere that is free then."""
    kept = topology.positions()[~drop]
    return LayerPlan(drop, random_free(kept, math.prod(topology.shape), count, generator))
