"""A folder of class folders of images: colours, the fixed split, and everything that is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tithe.errors import UsageError
from tithe.train.data import load

SIZE = (6, 5)  # width, height


def picture(path: Path, value: int, mode: str = "RGB", size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), value, np.uint8)).convert(mode).save(path)


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    for half, count in (("train", 3), ("test", 2)):
        for label, name in enumerate(("cat", "dog")):
            for number in range(count):
                picture(tmp_path / half / name / f"{number}.png", 100 * label + number)
    return tmp_path


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    for label, name in enumerate(("ant", "bee", "cow")):
        for number in range(10):
            picture(tmp_path / name / f"{number}.png", 50 * label + number)
    return tmp_path


def test_train_and_test_folders_are_read(halves: Path):
    data = load(f"folder:{halves}")
    assert data.x_train.shape == (6, 3, 5, 6)
    assert data.x_test.shape == (4, 3, 5, 6)
    assert data.x_train[:, 1, 2, 3].tolist() == [0, 1, 2, 100, 101, 102]
    assert data.y_train.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.y_test.tolist() == [0, 0, 1, 1]
    assert (data.name, data.classes, data.class_names) == (f"folder:{halves.name}", 2, ("cat", "dog"))


def test_class_folders_are_split_alike_every_time(classes: Path):
    data = load(f"folder:{classes}")
    assert data.y_train.bincount().tolist() == [8, 8, 8]
    assert data.y_test.bincount().tolist() == [2, 2, 2]
    # Written down: another version or machine must not split otherwise.
    assert data.x_test[:, 0, 0, 0].tolist() == [2, 8, 53, 55, 102, 103]
    every = [*data.x_train[:, 0, 0, 0].tolist(), *data.x_test[:, 0, 0, 0].tolist()]
    assert sorted(every) == [50 * label + number for label in range(3) for number in range(10)]
    assert load(f"folder:{classes}").sha256 == data.sha256


def test_pixels_keep_their_places(halves: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(halves / "train" / "cat" / "0.png")
    np.testing.assert_array_equal(load(f"folder:{halves}").x_train[0], pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_gray_images_have_one_channel(classes: Path, mode: str):
    for path in classes.glob("*/*.png"):
        picture(path, 255, mode)
    data = load(f"folder:{classes}")
    assert data.x_train.shape == (24, 1, 5, 6)
    assert set(data.x_train.unique().tolist()) == {255}


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA"])
def test_one_image_of_another_kind_is_read_as_colour(halves: Path, mode: str):
    picture(halves / "train" / "cat" / "0.png", 255, mode)
    data = load(f"folder:{halves}")
    assert data.x_train.shape == (6, 3, 5, 6)
    assert set(data.x_train[0].unique().tolist()) == {255}


def test_one_colour_image_among_gray_ones_makes_all_colour(classes: Path):
    for path in sorted(classes.glob("*/*.png"))[1:]:
        picture(path, 255, "L")
    assert load(f"folder:{classes}").x_train.shape == (24, 3, 5, 6)


def test_other_files_are_passed_over(halves: Path):
    before = load(f"folder:{halves}").sha256
    (halves / "train" / "cat" / "notes.txt").write_text("x")
    (halves / "train" / "cat" / ".hidden.png").write_text("x")
    (halves / "train" / ".cache").mkdir()
    (halves / "README.md").write_text("x")
    assert load(f"folder:{halves}").sha256 == before


def test_other_suffixes_are_images_too(halves: Path):
    for suffix in ("jpg", "JPEG", "bmp", "webp", "tiff", "ppm"):
        picture(halves / "train" / "cat" / f"9.{suffix}", 0)
    assert load(f"folder:{halves}").y_train.tolist() == [0] * 9 + [1] * 3


def deep(path: Path) -> None:
    Image.fromarray(np.zeros((5, 6), np.uint16)).save(path)


def cut(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-60])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda p: picture(p, 0, size=(6, 6)), r"train/dog/1\.png is 6 x 6 pixels but \S+cat/0\.png is 6 x 5; all"),
        (lambda p: p.write_bytes(b""), r"train/dog/1\.png cannot be read as an image"),
        (lambda p: p.write_text("hello"), r"train/dog/1\.png cannot be read as an image"),
        (cut, r"train/dog/1\.png cannot be read as an image"),
        (deep, r"train/dog/1\.png has more than 8 bits a channel \(mode I;16\); save it with 8 bits"),
    ],
)
def test_a_bad_image_is_named(halves: Path, damage: Callable[[Path], None], says: str):
    damage(halves / "train" / "dog" / "1.png")
    with pytest.raises(UsageError, match=says):
        load(f"folder:{halves}")


def test_a_picture_too_large_for_memory_is_refused(halves: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(UsageError, match=r"cat/0\.png cannot be read as an image .*decompression bomb"):
        load(f"folder:{halves}")


def test_folders_that_do_not_fit_are_refused(tmp_path: Path):
    spec = f"folder:{tmp_path / 'pets'}"
    with pytest.raises(UsageError, match=r"pets is not a folder; give folder:PATH"):
        load(spec)
    picture(tmp_path / "pets" / "train" / "cat" / "0.png", 0)
    with pytest.raises(UsageError, match=r"pets has train/ alone; give it train/ and test/, or class folders alone"):
        load(spec)
    picture(tmp_path / "pets" / "test" / "cat" / "0.png", 0)
    with pytest.raises(UsageError, match=r"pets/train has 1 class folders; at least two are needed"):
        load(spec)
    (tmp_path / "pets" / "train" / "dog").mkdir()
    picture(tmp_path / "pets" / "test" / "dog" / "0.png", 0)
    with pytest.raises(UsageError, match=r"train/dog has no images \(\.bmp, .*; put some there, or remove the class"):
        load(spec)
    picture(tmp_path / "pets" / "train" / "dog" / "0.png", 0)
    picture(tmp_path / "pets" / "test" / "eel" / "0.png", 0)
    with pytest.raises(UsageError, match=r"test/eel is a class that the training set lacks"):
        load(spec)


def test_a_class_of_one_image_cannot_be_split(classes: Path):
    picture(classes / "dog" / "0.png", 0)
    with pytest.raises(UsageError, match=r"dog has one image, and training and testing need one each"):
        load(f"folder:{classes}")
