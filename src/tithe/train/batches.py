"""Examples become batches: shuffled, augmented and normalised, all from generators derived from the seed."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tithe.errors import UsageError
from tithe.train.recipe import Recipe, batch_bounds

CROP_PIXELS = 4
"""How far a random crop moves an image; the border is filled by reflection (Dettmers & Zettlemoyer's code)."""
_STATISTICS_ROWS = 8192


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each channel (or feature) of the training set, broadcastable to a batch."""

    mean: Tensor  # [1, C, 1, 1] or [1, F]
    std: Tensor  # same shape; 1 where the training set is constant

    def __call__(self, x: Tensor) -> Tensor:
        """Raw examples [N, ...] as normalised float32 of the same shape."""
        return x.to(torch.float32, copy=True).sub_(self.mean).div_(self.std)


def normalisation(x: Tensor) -> Normalisation:
    """The statistics of x [n, C, H, W] over n, H, W or of x [n, F] over n, in double precision, in pieces."""
    over = [dim for dim in range(x.dim()) if dim != 1]
    count = x.numel() / x.shape[1]
    parts = x.split(_STATISTICS_ROWS)
    mean = torch.stack([part.double().sum(over, keepdim=True) for part in parts]).sum(0) / count
    squares = torch.stack([(part.double() - mean).square_().sum(over, keepdim=True) for part in parts]).sum(0)
    std = (squares / count).sqrt_()
    std[std == 0] = 1  # a constant channel says nothing; centred it is zero, whatever it is divided by
    return Normalisation(mean.float(), std.float())


def check_augmentation(recipe: Recipe, input_shape: tuple[int, ...]) -> None:
    """Refuse to crop and flip what has no pixels, or too few.

    Raises:
        UsageError: the examples are not images, or smaller than a crop moves them.
    """
    if recipe.augment == "none":
        return
    if len(input_shape) != 3 or min(input_shape[1:]) <= CROP_PIXELS:
        raise UsageError(
            f"augment {recipe.augment!r} needs images of more than {CROP_PIXELS} x {CROP_PIXELS} pixels, the examples "
            f"have shape {input_shape}; use --augment none."
        )


def epoch_batches(x: Tensor, y: Tensor, recipe: Recipe, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one epoch, raw: (examples [N, ...], labels [N]).

    Order and augmentation depend on the seed and the epoch alone, so a run resumed at an epoch's beginning sees
    what an uninterrupted run sees.
    """
    order = torch.randperm(len(y), generator=generator(recipe.seed, epoch, "order"))
    dice = generator(recipe.seed, epoch, "augmentation")
    for start, end in batch_bounds(len(y), recipe.batch_size):
        chosen = order[start:end]
        batch = x[chosen]
        yield (crop_and_flip(batch, dice) if recipe.augment == "crop-flip" else batch), y[chosen]


def generator(seed: int, epoch: int, purpose: str) -> torch.Generator:
    """A generator of its own for each purpose and epoch; neighbouring seeds share nothing."""
    digest = hashlib.sha256(f"{purpose} {seed} {epoch}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def crop_and_flip(x: Tensor, dice: torch.Generator) -> Tensor:
    """Move each image of x [N, C, H, W] by up to `CROP_PIXELS` either way and mirror half of them, in one gather."""
    n, _, height, width = x.shape
    rows = _moved(n, height, dice)
    columns = _moved(n, width, dice)
    mirrored = torch.rand(n, 1, generator=dice) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    images = torch.arange(n).view(n, 1, 1)
    gathered = x.permute(0, 2, 3, 1)[images, rows.unsqueeze(2), columns.unsqueeze(1)]  # [N, H, W, C]
    return gathered.permute(0, 3, 1, 2).contiguous()


def _moved(n: int, size: int, dice: torch.Generator) -> Tensor:
    """Source positions [n, size] of n rows (or columns) moved at random, reflected at both borders."""
    offset = torch.randint(-CROP_PIXELS, CROP_PIXELS + 1, (n, 1), generator=dice)
    position = (torch.arange(size) + offset).abs_()
    return torch.where(position >= size, 2 * (size - 1) - position, position)
