"""A folder of photos: its order, its crops, and the pictures in it that cannot be read."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from lcad_nodes.files.formats import READABLE
from lcad_nodes.training.config import DataConfig
from lcad_nodes.training.data.batches import Batch, batches
from lcad_nodes.training.data.photos import PhotoFolder
from lcad_nodes.training.data.pictures import DataError, Photo, augment, readable

WHOLE = DataConfig(
    folder="photos", size=16, smallest_crop=1.0, flipped=0.0, dropped=0.0, shortened=0.0
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight photos of one color each, one cut short, one of them not a picture."""
    folder = tmp_path / "photos"
    (folder / "vg").mkdir(parents=True)
    for index in range(8):
        color = (30 * index, 100, 200 - 20 * index)
        Image.new("RGB", (40, 30), color).save(folder / "vg" / f"{index}.jpg")
    whole = (folder / "vg" / "3.jpg").read_bytes()
    (folder / "vg" / "3.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "vg" / "5.jpg").write_text("not a picture")
    return folder


def _take(config: DataConfig, first: int, count: int) -> list[Batch]:
    source = batches(config, 3, Accelerator(), first)
    return [next(source) for _ in range(count)]


def test_what_cannot_be_read_is_named_counted_and_replaced(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        taken = _take(DataConfig(folder=str(folder), size=16, workers=0), 0, 6)
    assert all(batch.images.shape == (3, 3, 16, 16) for batch in taken)
    lines = sorted(r.message for r in caplog.records if r.message.startswith("skipped"))
    assert len(lines) == 2
    assert "3.jpg" in lines[0]
    assert "5.jpg (it is no picture of a known format)" in lines[1]
    assert {line.split("; ")[1] for line in lines} == {"1 so far", "2 so far"}


@pytest.mark.parametrize("workers", [0, 2])
def test_training_sees_the_same_from_any_batch_on(folder: Path, workers: int) -> None:
    config = DataConfig(folder=str(folder), size=16, workers=workers)
    whole, later = _take(config, 0, 5), _take(config, 3, 2)
    for a, b in zip(whole[3:], later, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.numbers, b.numbers)


def test_a_round_shows_every_photo_and_the_next_round_another_order(folder: Path) -> None:
    for broken in ("3.jpg", "5.jpg"):
        (folder / "vg" / broken).unlink()
    photos = PhotoFolder(replace(WHOLE, folder=str(folder)))
    first, second = ([_color(photos, n + r) for n in range(6)] for r in (0, 6))
    assert len(set(first)) == 6
    assert set(first) == set(second)
    assert first != second


def test_a_rounds_order_is_drawn_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = PhotoFolder(replace(WHOLE, folder=str(folder)))
    drawn, default_rng = [], np.random.default_rng

    def noted(seed: list[int]) -> np.random.Generator:
        drawn.append(seed)
        return default_rng(seed)

    monkeypatch.setattr(np.random, "default_rng", noted)
    for number in range(12):
        assert photos[number].image.shape == (3, 16, 16)
    assert len(drawn) == 12 + 2  # each has its crop, and eight are a round


def _color(photos: PhotoFolder, number: int) -> tuple[int, ...]:
    return tuple((photos[number].image[:, 8, 8] * 255).round().int().tolist())


@pytest.mark.parametrize("suffix", sorted(READABLE))
def test_a_folder_of_any_kind_of_picture_is_learned_from(tmp_path: Path, suffix: str) -> None:
    kind = "JPEG" if suffix == ".jfif" else None
    Image.new("RGB", (40, 30), (200, 10, 10)).save(tmp_path / f"photo{suffix.upper()}", kind)
    red, green, _ = _color(PhotoFolder(replace(WHOLE, folder=str(tmp_path))), 0)
    assert red - green > 100


@pytest.mark.parametrize("name", ["vg/1.jpg", "vg_1.jpg", "1.jpg"])
def test_descriptions_find_their_photos_under_every_name(folder: Path, name: str) -> None:
    captions = folder.parent / "captions.json"
    captions.write_text(json.dumps({f"{name}_0": "a lake"}), encoding="utf-8")
    photos = PhotoFolder(replace(WHOLE, folder=str(folder), captions=str(captions)))
    assert [photo.name for photo in photos.photos if photo.texts == ("a lake",)] == [
        str(folder / "vg" / "1.jpg")
    ]


def test_photos_of_linked_folders_are_found_and_described(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "linked"
    root.mkdir()
    (root / "coco").symlink_to(folder, target_is_directory=True)
    (folder / "again").symlink_to(root, target_is_directory=True)
    captions = tmp_path / "captions.json"
    captions.write_text('{"coco_1.jpg_0": "a lake"}', encoding="utf-8")  # as in Multi-instances
    photos = PhotoFolder(replace(WHOLE, folder=str(root), captions=str(captions))).photos
    assert len(photos) == len(PhotoFolder(replace(WHOLE, folder=str(folder))).photos) == 8
    assert [p.name for p in photos if p.texts] == [str(root / "coco" / "vg" / "1.jpg")]


def test_captions_of_other_photos_are_refused(folder: Path) -> None:
    captions = folder.parent / "captions.json"
    captions.write_text('{"other.jpg": ["a lake"]}', encoding="utf-8")
    with pytest.raises(DataError, match=r"none of the 8 photos.*'other.jpg'"):
        PhotoFolder(replace(WHOLE, folder=str(folder), captions=str(captions)))


def test_a_folder_of_nothing_readable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no photos"):
        PhotoFolder(replace(WHOLE, folder=str(tmp_path)))
    (tmp_path / "a.png").write_text("not a picture")
    with pytest.raises(DataError, match="not one of the 1 photos"):
        PhotoFolder(replace(WHOLE, folder=str(tmp_path)))[0]


def test_crops_keep_the_share_asked_for_and_half_are_mirrored() -> None:
    slope = np.tile(np.arange(200, dtype=np.uint8), (100, 1))
    image = Image.fromarray(np.stack([slope] * 3, axis=-1))
    config = replace(WHOLE, size=48, smallest_crop=0.64, flipped=0.5)
    mirrored, widths = 0, []
    for seed in range(200):
        row = augment(image, (), config, [seed]).image[0, 25] * 255
        mirrored += bool(row[0] > row[-1])
        widths.append(float((row[-1] - row[0]).abs()) * 48 / 47)
    assert 70 < mirrored < 130
    assert min(widths) == pytest.approx(80, abs=2)
    assert max(widths) == pytest.approx(100, abs=2)


def test_a_photo_whose_description_tells_sides_is_never_mirrored() -> None:
    slope = np.tile(np.arange(100, dtype=np.uint8), (100, 1))
    image = Image.fromarray(np.stack([slope] * 3, axis=-1))
    config = replace(WHOLE, flipped=1.0)
    for text, rises in (("a slope", False), ("dark on the left", True)):
        row = augment(image, (text,), config, [0]).image[0, 8]
        assert bool(row[-1] > row[0]) is rises


def test_a_photo_is_not_mirrored_where_the_part_that_tells_sides_was_left_out() -> None:
    slope = np.tile(np.arange(100, dtype=np.uint8), (100, 1))
    image = Image.fromarray(np.stack([slope] * 3, axis=-1))
    config = replace(WHOLE, flipped=1.0, dropped=1.0)  # no description is kept
    sample = augment(image, ("from left to right, a slope",), config, [0])
    assert sample.text == ""
    assert sample.image[0, 8, -1] > sample.image[0, 8, 0]


@pytest.mark.parametrize(("smallest", "read"), [(1.0, (100, 75)), (0.25, (200, 150))])
def test_a_large_photo_is_read_no_larger_than_its_smallest_crop_needs(
    tmp_path: Path, smallest: float, read: tuple[int, int]
) -> None:
    path = tmp_path / "a.jpg"
    slope = np.linspace(0, 255, 800).round().astype(np.uint8)
    whole = Image.fromarray(np.tile(slope, (600, 1))).convert("RGB")
    whole.save(path)
    config = replace(WHOLE, size=32, smallest_crop=smallest)
    ((_, image, _),) = readable([Photo("a", path)], config)
    assert image.size == read
    crop, expected = (augment(picture, (), config, [0]).image for picture in (image, whole))
    assert torch.allclose(crop, expected, atol=0.02)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(StopIteration):
        next(readable([Photo("a", path)], config))


def test_photos_are_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), "white")
    image.paste("black", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right by 90 degrees to look at it
    image.save(tmp_path / "a.jpg", exif=exif)
    seen = PhotoFolder(replace(WHOLE, folder=str(tmp_path), size=8, seed=1))[0].image[0]
    assert (seen[:, 0] - seen[:, -1]).abs().max() < 0.1
