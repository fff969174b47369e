"""Batches: every example once, the same for the same seed, augmented and normalised as the slow way says."""

import pytest
import torch
import torch.nn.functional as F

from tithe.errors import UsageError
from tithe.train import batches
from tithe.train.recipe import Recipe

_RECIPE = Recipe(model="mlp:8", batch_size=4)


def _orders(recipe: Recipe, epoch: int, n: int = 10) -> list[int]:
    x = torch.arange(n).view(n, 1)
    parts = list(batches.epoch_batches(x, torch.arange(n), recipe, epoch))
    assert all(torch.equal(part.view(-1), labels) for part, labels in parts)
    return torch.cat([labels for _, labels in parts]).tolist()


def test_an_epoch_shows_every_example_once_in_an_order_of_its_own():
    first, second = _orders(_RECIPE, 1), _orders(_RECIPE, 2)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert first == _orders(_RECIPE, 1)


def test_the_order_depends_on_the_seed_and_not_on_the_global_generator():
    torch.manual_seed(1)
    one = _orders(_RECIPE, 1)
    torch.manual_seed(2)
    assert one == _orders(_RECIPE, 1)
    assert one != _orders(Recipe(model="mlp:8", batch_size=4, seed=1), 1)


def test_crop_and_flip_equals_padding_cropping_and_mirroring_one_by_one():
    x = torch.randint(256, (50, 3, 7, 12), dtype=torch.uint8)
    moved = batches.crop_and_flip(x, torch.Generator().manual_seed(0))
    assert moved.dtype == torch.uint8
    padded = F.pad(x.float(), (4, 4, 4, 4), mode="reflect").to(torch.uint8)
    found = []
    for image, candidates in zip(moved, padded, strict=True):
        crops = {
            (top, left, mirrored): crop.flip(2) if mirrored else crop
            for top in range(9)
            for left in range(9)
            for mirrored in (False, True)
            for crop in [candidates[:, top : top + 7, left : left + 12]]
        }
        found.append([where for where, crop in crops.items() if torch.equal(crop, image)])
    assert all(len(matches) == 1 for matches in found)
    assert len({matches[0] for matches in found}) > 40
    assert 10 < sum(matches[0][2] for matches in found) < 40


@pytest.mark.parametrize("shape", [(10,), (1, 4, 8), (1, 8, 4)])
def test_augmenting_what_has_too_few_pixels_is_refused(shape):
    with pytest.raises(UsageError, match="use --augment none"):
        batches.check_augmentation(Recipe(model="mlp:8", augment="crop-flip"), shape)


@pytest.mark.parametrize("shape", [(20_000, 3, 2, 2), (20_000, 5)])
def test_normalised_training_data_have_mean_zero_and_deviation_one(shape):
    x = torch.randint(256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    normalised = batches.normalisation(x)(x).double()
    over = [dim for dim in range(len(shape)) if dim != 1]
    torch.testing.assert_close(normalised.mean(over), torch.zeros(shape[1], dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(normalised.std(over, correction=0), torch.ones(shape[1], dtype=torch.float64))


def test_a_constant_feature_becomes_zero():
    x = torch.tensor([[7.0, 1.0], [7.0, 3.0]])
    assert batches.normalisation(x)(x).tolist() == [[0.0, -1.0], [0.0, 1.0]]


def test_normalising_leaves_the_data_alone():
    x = torch.tensor([[1.0], [3.0]])
    batches.normalisation(x)(x)
    assert x.tolist() == [[1.0], [3.0]]
