"""Pictures in any state."""

import io
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageOps
from tiff_files import BLACK_IS_ZERO, RGB, WHITE_IS_ZERO, tiff

from lcad_nodes.files.pictures import PictureError, as_seen, read_picture


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    memory = io.BytesIO()
    image.save(memory, kind, **options)
    return memory.getvalue()


def _shown(source: bytes) -> list[list[int]]:
    """The colors of a picture's corners: top left, top right, bottom left."""
    image = np.asarray(read_picture(source)).astype(int)
    return [image[0, 0].tolist(), image[0, -1].tolist(), image[-1, 0].tolist()]


HALVES = Image.new("RGB", (40, 20), "white")
HALVES.paste("black", (0, 0, 20, 20))
BLACK, WHITE = [0, 0, 0], [255, 255, 255]
SLOPE = Image.fromarray(np.tile(np.linspace(0, 255, 40).round().astype(np.uint8), (24, 1)))
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG", "TIFF"])
def test_a_picture_is_turned_upright(kind: str, orientation: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = tmp_path / "a"
    file.write_bytes(_encoded(Image.fromarray(pixels), kind, exif=exif))
    with Image.open(io.BytesIO(file.read_bytes())) as image:
        expected = ImageOps.exif_transpose(image)
    assert np.array_equal(np.asarray(read_picture(file)), np.asarray(expected))


def _tiff(*entries: tuple[int, int, int, bytes]) -> bytes:
    head = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", len(entries))
    return head + b"".join(struct.pack(">HHI", *entry[:3]) + entry[3] for entry in entries)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        _tiff((0x0112, 3, 1, b"\0\6"))[:-1],
        _tiff((0x0112, 2, 4, b"six\0")),
        _tiff((0x0112, 3, 1, b"\0\x63\0\0")),
    ],
)
def test_what_exif_data_cannot_tell_is_passed_over(kind: str, exif: bytes) -> None:
    shown = _shown(_encoded(HALVES, kind, exif=exif, quality=100))
    for found, expected in zip(shown, (BLACK, WHITE, BLACK), strict=True):
        assert found == pytest.approx(expected, abs=3)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_a_broken_tag_beside_it_leaves_the_orientation(kind: str) -> None:
    exif = _tiff((0x0112, 3, 1, b"\0\6\0\0"), (0x011A, 5, 1, b"\xff\xff\xff\xff"))
    assert read_picture(_encoded(HALVES, kind, exif=exif)).size == (20, 40)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_gray_of_sixteen_bits_keeps_its_tones(kind: str) -> None:
    slope = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (8, 1))
    read = np.asarray(read_picture(_encoded(Image.fromarray(slope), kind))).astype(int)
    assert np.abs(read[0, :, 0] - slope[0] / 257).max() <= 0.5
    assert (read == read[:1, :, :1]).all()


def test_sixteen_bits_take_little_memory() -> None:
    side = 1000
    encoded = _encoded(Image.fromarray(np.ones((side, side), dtype=np.uint16)), "PNG")
    tracemalloc.start()
    try:
        read_picture(encoded)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / side**2 < 16  # bytes a pixel


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_kind_of_picture_keeps_its_gray(mode: str) -> None:
    picture = SLOPE.convert(mode)
    kind = "TIFF" if mode in {"CMYK", "YCbCr"} else "PNG"
    levels = np.asarray(read_picture(_encoded(picture, kind)).convert("L")).astype(int)
    assert abs(levels - np.asarray(picture.convert("L"))).max() <= 2


def test_what_is_see_through_is_white() -> None:
    clear = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    clear.putpixel((0, 0), (0, 0, 255, 255))
    assert _shown(_encoded(clear, "PNG")) == [[0, 0, 255], WHITE, WHITE]


SWAPPED = SRGB.replace(b"rXYZ", b"    ").replace(b"gXYZ", b"rXYZ").replace(b"    ", b"gXYZ", 1)
"""sRGB's profile with the red and the green primary swapped."""


@pytest.mark.parametrize(
    ("profile", "meant"),
    [
        (SRGB, [200, 100, 50]),
        (SWAPPED, [100, 200, 50]),
        (ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(), [200, 100, 50]),
        (b"none", [200, 100, 50]),
    ],
    ids=["sRGB", "swapped", "one that does not fit", "none"],
)
def test_colors_are_those_that_the_profile_means(profile: bytes, meant: list[int]) -> None:
    orange = Image.new("RGB", (8, 8), (200, 100, 50))
    assert _shown(_encoded(orange, "PNG", icc_profile=profile))[0] == pytest.approx(meant, abs=2)


def test_a_profile_of_colors_holds_for_a_picture_that_lost_them() -> None:
    encoded = _encoded(SLOPE, "PNG", icc_profile=SRGB)
    with Image.open(io.BytesIO(encoded)) as image:
        image.load()
        seen = as_seen(image, 1)
    assert seen.doubt is None
    assert abs(np.asarray(seen.rgb)[..., 0].astype(int) - np.asarray(SLOPE)).max() <= 2


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG", "TIFF", "GIF", "BMP"])
def test_a_picture_cut_short_is_refused(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    whole = _encoded(Image.fromarray(noise), kind)
    for length in (0, 3, len(whole) // 2):
        with pytest.raises(PictureError):
            read_picture(whole[:length])


def test_what_is_no_picture_is_refused_with_the_same_words_each_time() -> None:
    for content in (b"Dear all", b""):
        with pytest.raises(PictureError, match=r"^it is no picture of a known format$"):
            read_picture(content)


def test_floating_point_numbers_are_shares_of_white() -> None:
    half = _encoded(Image.new("F", (4, 4), 0.5), "TIFF")
    assert _shown(half)[0] == [128, 128, 128]
    with pytest.raises(PictureError, match=r"^it holds numbers outside of 0 to 1: save it with 16"):
        read_picture(_encoded(Image.new("F", (4, 4), 1.1), "TIFF"))


RAMP = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (24, 1))[..., None]


def test_white_is_where_a_tiff_file_says_even_in_floating_point_numbers() -> None:
    assert _shown(tiff(RAMP, BLACK_IS_ZERO))[:2] == [BLACK, WHITE]
    assert _shown(tiff(RAMP, WHITE_IS_ZERO))[:2] == [WHITE, BLACK]


@pytest.mark.parametrize("kind", ["<i2", "<i4", "<u4", "<i1"])
def test_whole_numbers_that_would_be_misread_are_refused(kind: str) -> None:
    numbers = (RAMP.astype(float) * np.iinfo(kind).max).astype(kind)
    with pytest.raises(PictureError, match=r"^it holds signed numbers, or whole ones of 32 bits"):
        read_picture(tiff(numbers, BLACK_IS_ZERO))


@pytest.mark.parametrize(
    ("numbers", "photometric"),
    [
        (np.tile(RAMP * 65535, 3).astype("<u2"), RGB),
        (np.tile(RAMP * 65535, 4).astype("<u2"), RGB),
        ((RAMP * 255).astype("u1"), WHITE_IS_ZERO),
    ],
    ids=["RGB of 16 bits", "RGBA of 16 bits", "negative"],
)
def test_channels_by_themselves_are_refused_where_they_would_be_misread(
    numbers: np.ndarray, photometric: int
) -> None:
    alpha = [(ExifTags.Base.ExtraSamples, (2,))] * (numbers.shape[2] == 4)
    with pytest.raises(PictureError, match=r"^it is stored channel by channel: save it inter"):
        read_picture(tiff(numbers, photometric, by_channel=True, more=alpha))
    read_picture(tiff(numbers, photometric, more=alpha))


def test_channels_of_eight_bits_by_themselves_are_read() -> None:
    pixels = np.tile(RAMP * 255, 3).round().astype("u1")
    assert np.array_equal(np.asarray(read_picture(tiff(pixels, RGB, by_channel=True))), pixels)
