"""Photo files of every kind, read and written."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, ImageOps

from lcad_nodes.client.photos import Photo, PhotoError, made_from, read, read_mask, write


def slope(width: int = 40, height: int = 24) -> Image.Image:
    """Gray, from black at the left to white at the right."""
    row = np.linspace(0, 255, width).round().astype(np.uint8)
    return Image.fromarray(np.tile(row, (height, 1)))


def saved(picture: Image.Image, file: Path, **options: Any) -> Path:
    picture.save(file, **options)
    return file


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_16_bit_scan_is_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    values = np.tile(np.linspace(0, 65535, 40).astype(np.uint16), (24, 1))
    file = saved(Image.fromarray(values), tmp_path / f"scan.{suffix}")
    levels = np.asarray(read(file).picture)[0, :, 0].astype(int)
    assert abs(levels - values[0] / 257).max() <= 0.5


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_kind_of_picture_keeps_its_gray(tmp_path: Path, mode: str) -> None:
    suffix = "tif" if mode in {"CMYK", "YCbCr"} else "png"
    picture = slope().convert(mode)
    levels = np.asarray(read(saved(picture, tmp_path / f"a.{suffix}")).picture.convert("L"))
    expected = np.asarray(picture.convert("L"))
    assert abs(levels.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "tif", "png", "webp"])
def test_a_turned_photo_comes_out_upright_and_is_not_turned_again(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = saved(slope(), tmp_path / f"a.{suffix}", exif=exif)
    with Image.open(file) as image:
        expected = ImageOps.exif_transpose(image).convert("L")
    photo = read(file)
    out = tmp_path / f"out.{suffix}"
    write(photo.picture, photo, out, "")
    with Image.open(out) as image:
        assert image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        assert image.size == expected.size
        difference = np.asarray(image.convert("L")).astype(int) - np.asarray(expected)
    assert abs(difference).mean() < 3


@pytest.mark.parametrize("source", ["jpg", "tif", "png", "webp"])
@pytest.mark.parametrize("result", ["jpg", "tif", "png", "webp"])
def test_metadata_are_kept(tmp_path: Path, source: str, result: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Grandfather"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "1954:06:01 12:00:00"
    with Image.open(saved(slope(), tmp_path / "first.jpg", exif=exif)) as image:
        exif = image.getexif()  # of a file, since Pillow drops parts of others from TIFFs
        exif.get_ifd(ExifTags.IFD.Exif)
    options = {} if source == "webp" else {"dpi": (600, 600)}
    photo = read(saved(slope(), tmp_path / f"a.{source}", exif=exif, **options))
    out = tmp_path / f"out.{result}"
    write(photo.picture, photo, out, "words")
    with Image.open(out) as image:
        kept = image.getexif()
        taken = kept.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal]
        assert kept[ExifTags.Base.Artist] == "Grandfather"
        assert taken == "1954:06:01 12:00:00"
        if source != "webp" and result != "webp":
            assert [round(float(dots)) for dots in image.info["dpi"]] == [600, 600]
        assert "sRGB" in ImageCms.getProfileDescription(
            ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        )
    assert made_from(out) == "words"


@pytest.mark.parametrize("source", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("result", ["jpg", "png", "tif", "webp"])
def test_xmp_is_kept_and_does_not_turn_the_picture_again(
    tmp_path: Path, source: str, result: str
) -> None:
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/>Aunt</x:xmpmeta>'
    first = Photo(slope().convert("RGB"), None, Image.Exif(), None, packet)
    write(first.picture, first, tmp_path / f"a.{source}", "")
    photo = read(tmp_path / f"a.{source}")
    write(photo.picture, photo, tmp_path / f"b.{result}", "")
    kept = read(tmp_path / f"b.{result}").xmp
    assert kept is not None
    assert b"Aunt" in kept
    assert b'Orientation="6"' not in kept


def test_a_color_profile_is_applied(tmp_path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    plain = slope().convert("RGB")
    file = saved(plain, tmp_path / "a.png", icc_profile=lab.tobytes())
    difference = np.asarray(read(file).picture).astype(int) - np.asarray(plain)
    assert abs(difference).max() <= 1


def test_a_broken_color_profile_is_said_and_the_photo_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = saved(slope(), tmp_path / "a.png", icc_profile=b"nonsense")
    assert read(file).picture.size == (40, 24)
    assert "color profile" in caplog.text


def test_transparency_is_kept_where_the_format_has_it(tmp_path: Path) -> None:
    picture = slope().convert("RGBA")
    picture.putalpha(slope())
    photo = read(saved(picture, tmp_path / "a.png"))
    write(photo.picture, photo, tmp_path / "b.png", "")
    write(photo.picture, photo, tmp_path / "b.jpg", "")
    with Image.open(tmp_path / "b.png") as image:
        assert np.array_equal(np.asarray(image.getchannel("A")), np.asarray(slope()))
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.mode == "RGB"
        assert image.getpixel((0, 0)) == pytest.approx((255, 255, 255), abs=3)


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "letter.jpg").write_text("Dear all")
    with pytest.raises(PhotoError, match=r"letter\.jpg is not a picture"):
        read(tmp_path / "letter.jpg")
    with pytest.raises(PhotoError, match=r"There is no file .*gone\.jpg"):
        read(tmp_path / "gone.jpg")


@given(share=st.floats(0.2, 0.95))
@settings(max_examples=20, deadline=None)
def test_a_file_cut_off_anywhere_is_named(
    tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    file = tmp_path_factory.mktemp("cut") / "scan.png"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(PhotoError, match=r"scan\.png"):
        read(file)


def test_masks_are_white_or_opaque_at_the_object(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (40, 24), (10, 10, 10, 255))
    picture.putalpha(slope())
    opaque = read_mask(saved(picture, tmp_path / "a.png"), (40, 24))
    white = read_mask(saved(slope(), tmp_path / "b.png"), (40, 24))
    assert np.array_equal(np.asarray(opaque), np.asarray(white))


def test_a_mask_of_another_size_or_of_nothing_is_refused(tmp_path: Path) -> None:
    file = saved(slope(), tmp_path / "left.png")
    with pytest.raises(PhotoError, match=r"left\.png is 40 x 24 pixels and the photo 41 x 24"):
        read_mask(file, (41, 24))
    with pytest.raises(PhotoError, match="black everywhere"):
        read_mask(saved(Image.new("L", (40, 24)), tmp_path / "no.png"), (40, 24))


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    photo = Photo(Image.new("RGB", (17000, 1)), None, Image.Exif(), None, None)
    with pytest.raises(PhotoError, match=r"too large\.webp cannot be written"):
        write(photo.picture, photo, tmp_path / "too large.webp", "")
    assert list(tmp_path.iterdir()) == []
