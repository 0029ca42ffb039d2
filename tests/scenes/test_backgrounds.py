"""What objects are put on."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from lcad_nodes.scenes.backgrounds import PhotosError, crop, plain, read_photos, surface
from lcad_nodes.scenes.cutouts import split_of
from lcad_nodes.scenes.recolor import Painter


def test_surfaces_vary_and_are_drawn_from_the_seed() -> None:
    painter = Painter()
    drawn = [surface((64, 48), painter, np.random.default_rng(seed)) for seed in range(20)]
    again = [surface((64, 48), painter, np.random.default_rng(seed)) for seed in range(20)]
    assert [image.tobytes() for image in drawn] == [image.tobytes() for image in again]
    assert len({image.tobytes() for image in drawn}) == 20
    assert {image.size for image in drawn} == {(64, 48)}


def test_a_plain_surface_has_its_color() -> None:
    image = np.asarray(plain((32, 32), np.array([50.0, 60.0, 40.0]), np.random.default_rng(0)))
    red, green, blue = image.reshape(-1, 3).mean(axis=0)
    assert red > 2 * max(green, blue)


def test_photographs_of_the_two_splits_are_different_ones(photos: Path) -> None:
    train, held_out = read_photos([photos], "train"), read_photos([photos], "held_out")
    assert len(train) + len(held_out) == 20
    assert not {p.tobytes() for p in train} & {p.tobytes() for p in held_out}
    assert min(train[0].size) <= 384


def test_photographs_that_cannot_be_read_are_skipped_and_named(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = next(path for path in sorted(photos.iterdir()) if split_of(Path(path.name)) == "train")
    cut = tmp_path / whole.name
    cut.write_bytes(whole.read_bytes()[:200])
    assert len(read_photos([cut, photos], "train")) == len(read_photos([photos], "train"))
    assert f"skipped {cut}" in caplog.text
    assert "1 so far" in caplog.text
    with pytest.raises(PhotosError, match="No train photograph"):
        read_photos([cut], "train")


def test_photographs_are_upright_and_in_eight_bits(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    levels = np.tile(np.linspace(0, 65535, 90).astype(np.uint16), (60, 1))
    name = next(f"{a}.png" for a in "abcdefgh" if split_of(Path(f"{a}.png")) == "train")
    Image.fromarray(levels).save(tmp_path / name, exif=exif)
    (photo,) = read_photos([tmp_path], "train")
    assert photo.size == (60, 90)
    assert np.asarray(photo).mean() == pytest.approx(127.5, abs=1)


def test_a_crop_comes_from_the_photograph(photos: Path) -> None:
    photo = read_photos([photos], "train")[0]
    for size in ((64, 64), (96, 64), (32, 64)):
        part = np.asarray(crop(photo, size, np.random.default_rng(0)), dtype=float)
        assert part.shape == (size[1], size[0], 3)
        assert np.abs(part.mean((0, 1)) - np.asarray(photo).mean((0, 1))).max() < 60


def test_missing_photographs_are_named(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(PhotosError, match="nowhere"):
        read_photos([tmp_path / "nowhere"], "train")
    one = next(path for path in photos.iterdir() if split_of(Path(path.name)) == "train")
    with pytest.raises(PhotosError, match="No held_out photograph"):
        read_photos([one], "held_out")
