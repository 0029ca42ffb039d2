"""Pictures in any state."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from lcad_nodes.files.pictures import PictureError, read_picture


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    memory = io.BytesIO()
    image.save(memory, kind, **options)
    return memory.getvalue()


def _shown(source: Path | bytes) -> list[list[int]]:
    """The colors of a picture's corners: top left, top right, bottom left."""
    image = np.asarray(read_picture(source)).astype(int)
    return [image[0, 0].tolist(), image[0, -1].tolist(), image[-1, 0].tolist()]


HALVES = Image.new("RGB", (40, 20), "white")
HALVES.paste("black", (0, 0, 20, 20))
BLACK, WHITE = [0, 0, 0], [255, 255, 255]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG", "TIFF"])
def test_a_picture_is_turned_upright(kind: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # turn right by 90 degrees to look at it
    (tmp_path / "a").write_bytes(_encoded(HALVES, kind, exif=exif, quality=100))
    assert read_picture(tmp_path / "a").size == (20, 40)
    for found, shown in zip(_shown(tmp_path / "a"), (BLACK, BLACK, WHITE), strict=True):
        assert found == pytest.approx(shown, abs=3)


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
    read = np.asarray(read_picture(_encoded(Image.fromarray(slope), kind)))
    assert np.abs(read[0, :, 0] - np.linspace(0, 255, 64)).max() <= 1
    assert (read == read[:1, :, :1]).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "RGBA"])
def test_every_kind_of_picture_is_read_in_color(mode: str) -> None:
    picture = HALVES.convert(mode)
    shown = _shown(_encoded(picture, "TIFF" if mode == "CMYK" else "PNG"))
    assert shown == [BLACK, WHITE, BLACK]


def test_what_is_see_through_is_white() -> None:
    clear = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    clear.putpixel((0, 0), (0, 0, 255, 255))
    assert _shown(_encoded(clear, "PNG")) == [[0, 0, 255], WHITE, WHITE]


def test_colors_are_those_that_the_profile_means() -> None:
    red = Image.new("RGB", (8, 8), (200, 30, 30))
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert _shown(_encoded(red, "PNG", icc_profile=lab))[0] == [200, 30, 30]  # does not fit
    assert _shown(_encoded(red, "PNG", icc_profile=b"none"))[0] == [200, 30, 30]
    swapped = _shown(_encoded(red, "PNG", icc_profile=_with_red_and_green_swapped()))[0]
    assert swapped[1] > 150 > swapped[0]


def _with_red_and_green_swapped() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for at in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12):
        tag = bytes(profile[at : at + 4])
        profile[at : at + 4] = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}.get(tag, tag)
    return bytes(profile)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG", "TIFF", "GIF", "BMP"])
def test_a_picture_cut_short_is_refused(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    whole = _encoded(Image.fromarray(noise), kind)
    for length in (0, 3, len(whole) // 2):
        with pytest.raises(PictureError):
            read_picture(whole[:length])


def test_floating_point_numbers_are_shares_of_white() -> None:
    half = _encoded(Image.new("F", (4, 4), 0.5), "TIFF")
    assert _shown(half)[0] == [128, 128, 128]
    with pytest.raises(PictureError, match=r"^it holds numbers outside of 0 to 1: save it with 16"):
        read_picture(_encoded(Image.new("F", (4, 4), 1.1), "TIFF"))
