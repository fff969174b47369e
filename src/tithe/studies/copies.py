"""Copies of test images that people would read as easily: shifted, turned, rescaled, noisy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from tithe.train.batches import generator


@dataclass(frozen=True)
class Copy:
    """One kind of copy, of one magnitude; each image draws its own direction."""

    kind: Literal["shift", "rotate", "rescale", "noise"]
    amount: float  # share of the width; degrees; factor; standard deviation as a share of the range of values

    @property
    def name(self) -> str:
        """Shift 5 %, rotate 15°, rescale x1.2, noise 10 %."""
        if self.kind in ("shift", "noise"):
            return f"{self.kind} {100 * self.amount:g} %"
        return f"rotate {self.amount:g}°" if self.kind == "rotate" else f"rescale x{self.amount:g}"


COPIES = (
    *(Copy("shift", share) for share in (0.05, 0.1, 0.2)),
    *(Copy("rotate", degrees) for degrees in (5, 15, 30)),
    *(Copy("rescale", factor) for factor in (1.1, 1.25, 1.5)),
    *(Copy("noise", share) for share in (0.05, 0.15, 0.3)),
)
SMALL = COPIES[::3]
"""Of each kind the one that people hardly notice."""


def copied(x: Tensor, copy: Copy, seed: int) -> Tensor:
    """The images x [n, C, H, W] as float32 of the same shape and range; what comes in from outside repeats the border.

    Args:
        x: raw images; uint8 or float.
        copy: what is done to them.
        seed: of the directions.
    """
    dice = generator(seed, 0, copy.name)
    images = x.to(torch.float32)
    low, high = float(images.min()), float(images.max())
    if copy.kind == "noise":
        noise = torch.randn(images.shape, generator=dice)
        return (images + copy.amount * (high - low) * noise).clamp_(low, high)
    grid = F.affine_grid(_moves(copy, images, dice), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _moves(copy: Copy, x: Tensor, dice: torch.Generator) -> Tensor:
    """[n, 2, 3]: where in the image, whose edges are at -1 and 1, each position of the copy is read."""
    n = len(x)
    aspect = x.shape[3] / x.shape[2]
    angle = torch.zeros(n)
    scale = torch.ones(n)
    along, down = torch.zeros(n), torch.zeros(n)
    if copy.kind == "rotate":
        angle = math.radians(copy.amount) * _sign(n, dice)
    elif copy.kind == "rescale":
        scale = copy.amount ** _sign(n, dice)  # half of the images larger, half smaller
    else:
        direction = 2 * math.pi * torch.rand(n, generator=dice)
        along, down = 2 * copy.amount * direction.cos(), 2 * copy.amount * aspect * direction.sin()
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = torch.stack([cos, -sin / aspect, along]), torch.stack([sin * aspect, cos, down])
    return torch.stack(rows).permute(2, 0, 1)


def _sign(n: int, dice: torch.Generator) -> Tensor:
    """-1 or 1 for each of n images."""
    return 2.0 * torch.randint(2, (n,), generator=dice) - 1
