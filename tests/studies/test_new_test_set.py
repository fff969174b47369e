"""`new-test-set`: copies that are what their names say, verdicts that can say both, the published tables."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from tithe.errors import UsageError
from tithe.studies import published_drop
from tithe.studies.copies import COPIES, SMALL, Copy, copied
from tithe.studies.new_test_set import METHODS, ORIGINAL, judged

TIMM = Path(__file__).parents[2] / "../shared/data/scaling/timm"


@pytest.fixture
def images() -> torch.Tensor:
    """A bright square off the middle on black, 40 images of 20 x 20."""
    made = torch.zeros(40, 1, 20, 20)
    made[:, :, 6:10, 8:14] = 1
    return made


def centres(images: torch.Tensor) -> torch.Tensor:
    """Centre of brightness [n, 2] in pixels, (row, column)."""
    weights = images[:, 0] / images[:, 0].sum((1, 2), keepdim=True)
    places = torch.arange(images.shape[2], dtype=torch.float32)
    return torch.stack([(weights.sum(2) * places).sum(1), (weights.sum(1) * places).sum(1)], 1)


def test_a_shift_moves_by_its_share_of_the_width(images):
    moved = centres(copied(images, Copy("shift", 0.1), 0)) - centres(images)
    torch.testing.assert_close(moved.norm(dim=1), torch.full((40,), 2.0), atol=0.02, rtol=0)
    assert moved.std(0).min() > 0.5, "each image in its own direction"


def test_a_rotation_turns_by_its_degrees_either_way(images):
    before, after = centres(images)[0] - 9.5, centres(copied(images, Copy("rotate", 30), 0)) - 9.5
    torch.testing.assert_close(after.norm(dim=1), before.norm().expand(40), atol=0.05, rtol=0)
    angles = torch.rad2deg(torch.atan2(after[:, 0], after[:, 1]) - torch.atan2(before[0], before[1]))
    torch.testing.assert_close(angles.abs(), torch.full((40,), 30.0), atol=2.0, rtol=0)
    assert {bool(angle > 0) for angle in angles} == {True, False}


def test_rescaling_makes_half_larger_and_half_smaller(images):
    areas = copied(images, Copy("rescale", 1.5), 0).sum((1, 2, 3)) / images.sum((1, 2, 3))
    larger = areas > 1
    assert 5 < int(larger.sum()) < 35
    torch.testing.assert_close(areas[larger], torch.full_like(areas[larger], 1.5**2), rtol=0.05, atol=0)
    torch.testing.assert_close(areas[~larger], torch.full_like(areas[~larger], 1.5**-2), rtol=0.05, atol=0)


def test_noise_has_its_share_of_the_range_and_stays_inside():
    gray = torch.full((4, 1, 50, 50), 100, dtype=torch.uint8)
    gray[:, :, 0, 0], gray[:, :, 0, 1] = 0, 200
    noisy = copied(gray, Copy("noise", 0.1), 0)
    assert float((noisy - gray).std()) == pytest.approx(20, rel=0.05)
    assert 0 <= noisy.min() <= noisy.max() <= 200


@pytest.mark.parametrize("shape", [(3, 2, 16, 24), (1, 1, 8, 8)])
def test_oblong_images_turn_without_shear(shape):
    dice = torch.Generator().manual_seed(0)
    x = torch.rand(shape, generator=dice)
    for copy in COPIES:
        assert copied(x, copy, 0).shape == x.shape
        torch.testing.assert_close(copied(x, copy, 0), copied(x, copy, 0))
    torch.testing.assert_close(copied(x, Copy("rotate", 0), 0), x)
    square = torch.zeros(40, 1, 20, 40)
    square[:, :, 8:12, 26:30] = 1
    before, after = (centres_of(each) for each in (square, copied(square, Copy("rotate", 30), 0)))
    torch.testing.assert_close(after.norm(dim=1), before.norm(dim=1), atol=0.1, rtol=0)


def centres_of(oblong: torch.Tensor) -> torch.Tensor:
    """From the middle of 20 x 40."""
    weights = oblong[:, 0] / oblong[:, 0].sum((1, 2), keepdim=True)
    rows, columns = torch.arange(20.0) - 9.5, torch.arange(40.0) - 19.5
    return torch.stack([(weights.sum(2) * rows).sum(1), (weights.sum(1) * columns).sum(1)], 1)


def runs(drop: dict[str, float]) -> dict:
    """Three seeds of each method; every copy loses `drop` of accuracy."""
    dice = random.Random(0)

    def one(method: str) -> dict[str, float]:
        return {ORIGINAL: 0.95} | {copy.name: 0.95 - drop[method] + dice.gauss(0, 1e-3) for copy in SMALL}

    return {method: [one(method) for _ in range(3)] for method in METHODS}


def verdicts(dense: float, sparse: float) -> list[str]:
    drops = {"dense": dense, "sparse-momentum": sparse, "small-dense": dense}
    return [claim.verdict for claim in judged("made up", runs(drops), SMALL)]


def test_verdicts_follow_the_numbers():
    assert verdicts(0.05, 0.10) == ["holds", "holds"]
    assert verdicts(-0.05, -0.10) == ["does not hold", "does not hold"]
    assert verdicts(0.05, 0.05)[1] == "not decided"


def written(folder: Path, old: list[float], new: list[float], name: str = "model") -> Path:
    for file, values in ((published_drop.OLD, old), (published_drop.NEW, new)):
        lines = [f"net{place},224,{value}" for place, value in enumerate(values)]
        (folder / file).write_text("\n".join([f"{name},img_size,top1", *lines]))
    return folder


def test_published_tables_are_judged_by_their_numbers(tmp_path):
    old = np.linspace(60, 90, 30)
    noise = np.random.default_rng(0).normal(0, 0.1, 30)
    for new, expected in (
        (1.2 * old - 30 + noise, ["holds", "holds"]),
        (0.8 * old + 11 + noise, ["does not hold"] * 2),
    ):
        found = published_drop.read(written(tmp_path, old.tolist(), new.tolist()))
        assert [claim.verdict for claim in published_drop.claims(found)] == expected


def test_missing_or_other_tables_are_said(tmp_path):
    with pytest.raises(UsageError, match=r"missing: get results-imagenet.csv.*github.com"):
        published_drop.read(tmp_path)
    with pytest.raises(UsageError, match="no table of timm's"):
        published_drop.read(written(tmp_path, [1.0], [1.0], name="net"))
    with pytest.raises(UsageError, match="share 1 networks"):
        published_drop.read(written(tmp_path, [1.0], [1.0]))


@pytest.mark.skipif(not TIMM.exists(), reason="timm's tables are not beside the repository")
def test_timms_tables_give_the_published_figures():
    found = published_drop.read(TIMM)
    assert published_drop.mean_drop(found).value == pytest.approx(10.85, abs=0.005)
    assert published_drop.share_above(found).value == pytest.approx(0.789, abs=0.0005)
