"""Photo files of every kind, read and written."""

import io
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import folder_paths
import nodes
import numpy as np
import pytest
from conftest import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, ExifTags, Image, ImageCms, TiffImagePlugin
from tiff_files import BLACK_IS_ZERO, RGB, tiff

from lcad_nodes.client.photos import (
    XMP,
    Photo,
    PhotoError,
    made_from,
    read,
    read_mask,
    require_place,
    write,
)
from lcad_nodes.files.formats import READABLE, WRITABLE


def slope(width: int = 40, height: int = 24) -> Image.Image:
    """Gray, from black at the left to white at the right."""
    row = np.linspace(0, 255, width).round().astype(np.uint8)
    return Image.fromarray(np.tile(row, (height, 1)))


def saved(picture: Image.Image, file: Path, **options: Any) -> Path:
    picture.save(file, **options)
    return file


UPRIGHT = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(np.transpose(a), 2),
    8: np.rot90,
}
"""What makes each orientation of the EXIF standard upright."""


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("suffix", "depth"), [("jpg", 8), ("tif", 8), ("tif", 16), ("png", 8), ("png", 16), ("webp", 8)]
)
def test_a_turned_photo_comes_out_upright_and_is_not_turned_again(
    tmp_path: Path, orientation: int, suffix: str, depth: int
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    levels = np.add.outer(np.linspace(0, 90, 24), np.linspace(0, 160, 40)).round()  # no symmetry
    stored = levels.astype(np.uint8) if depth == 8 else (257 * levels).astype(np.uint16)
    file = saved(Image.fromarray(stored), tmp_path / f"a.{suffix}", exif=exif)
    photo = read(file)
    out = tmp_path / f"out.{suffix}"
    write(photo.picture, photo, out, "")
    expected = UPRIGHT[orientation](levels)
    with Image.open(out) as image:
        assert image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        assert image.size == expected.shape[::-1]
        difference = np.asarray(image.convert("L")).astype(int) - expected
    assert abs(difference).mean() < 3


@pytest.mark.parametrize("sides", [{}, {40962: 40, 40963: 24}], ids=["untold", "told"])
@pytest.mark.parametrize("result", ["jpg", "png", "tif", "webp"])
def test_the_size_in_the_metadata_is_that_of_the_upright_picture(
    tmp_path: Path, result: str, sides: dict[int, int]
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.Exif).update(sides)
    photo = read(saved(slope(), tmp_path / "a.jpg", exif=exif))
    write(photo.picture, photo, tmp_path / f"b.{result}", "")
    with Image.open(tmp_path / f"b.{result}") as image:
        kept = image.getexif().get_ifd(ExifTags.IFD.Exif)
        assert image.size == (24, 40)
    assert [kept[tag] for tag in (40962, 40963) if tag in kept] == ([24, 40] if sides else [])


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
    first = Photo(slope().convert("RGB"), None, Image.Exif(), None, packet, "")
    write(first.picture, first, tmp_path / f"a.{source}", "")
    photo = read(tmp_path / f"a.{source}")
    write(photo.picture, photo, tmp_path / f"b.{result}", "")
    kept = read(tmp_path / f"b.{result}").xmp
    assert kept is not None
    assert b"Aunt" in kept
    assert b'Orientation="6"' not in kept


@pytest.mark.parametrize(
    "turn",
    [
        b"<a tiff:Orientation='6'/>",
        b'<a tiff:Orientation = "8"/>',
        b"<tiff:Orientation> 3 </tiff:Orientation>",
    ],
)
def test_xmp_says_upright_however_it_is_written(tmp_path: Path, turn: bytes) -> None:
    first = Photo(slope().convert("RGB"), None, Image.Exif(), None, turn, "")
    write(first.picture, first, tmp_path / "a.jpg", "")
    kept = read(tmp_path / "a.jpg").xmp
    assert kept is not None
    assert kept == turn.translate(bytes.maketrans(b"368", b"111"))


def test_xmp_that_is_too_long_for_a_jpeg_is_left_out_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for size in (65504, 65505):
        photo = Photo(slope().convert("RGB"), None, Image.Exif(), None, b"x" * size, "")
        write(photo.picture, photo, tmp_path / f"{size}.jpg", "")
        write(photo.picture, photo, tmp_path / f"{size}.png", "")
    assert [len(read(tmp_path / f"{size}.png").xmp or b"") for size in (65504, 65505)] == [
        65504,
        65505,
    ]
    assert len(read(tmp_path / "65504.jpg").xmp or b"") == 65504
    assert read(tmp_path / "65505.jpg").xmp is None
    assert "65505.jpg: its XMP data are too long" in caplog.text
    assert "65504.jpg" not in caplog.text


@pytest.mark.parametrize("tag", [34377, 37724])
def test_a_scan_with_photoshop_layers_becomes_a_jpeg(tmp_path: Path, tag: int) -> None:
    exif = Image.Exif()
    exif[tag] = bytes(70_000)
    photo = read(saved(slope(), tmp_path / "a.tif", exif=exif))
    write(photo.picture, photo, tmp_path / "a.jpg", "")
    assert made_from(tmp_path / "a.jpg") == ""


def test_metadata_that_make_no_sense_are_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] = bytes(65_300)
    photo = Photo(slope().convert("RGB"), None, exif, None, None, "")
    write(photo.picture, photo, tmp_path / "a.jpg", "words " * 40)
    assert "a.jpg: its metadata make no sense" in caplog.text
    assert made_from(tmp_path / "a.jpg") == "words " * 40


@pytest.mark.parametrize("result", ["jpg", "png", "tif", "webp"])
def test_texts_in_other_scripts_are_kept(tmp_path: Path, result: str) -> None:
    exif = Image.Exif()
    text = "Oma Käthe, 祖母"
    exif[ExifTags.Base.ImageDescription] = text.encode()
    photo = read(saved(slope(), tmp_path / "a.jpg", exif=exif))
    write(photo.picture, photo, tmp_path / f"b.{result}", "words")
    with Image.open(tmp_path / f"b.{result}") as image:
        kept = image.getexif()[ExifTags.Base.ImageDescription]
    assert kept.encode("latin-1").decode() == text
    assert made_from(tmp_path / f"b.{result}") == "words"


def test_a_tiff_of_two_pages_is_turned_once_and_keeps_its_metadata(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "1954:06:01 12:00:00"
    with Image.open(saved(slope(), tmp_path / "first.jpg", exif=exif)) as image:
        exif = image.getexif()  # of a file, since Pillow drops parts of others from TIFFs
        exif.get_ifd(ExifTags.IFD.Exif)
    first = slope().convert("RGB")
    pages = {"save_all": True, "append_images": [first.copy()], "exif": exif}
    photo = read(saved(first, tmp_path / "a.tif", **pages))
    assert "a.tif has 2 pages" in caplog.text
    turned = first.transpose(Image.Transpose.ROTATE_270)
    assert photo.picture.tobytes() == turned.tobytes()
    write(photo.picture, photo, tmp_path / "b.tif", "words")
    with Image.open(tmp_path / "b.tif") as image:
        kept = image.getexif().get_ifd(ExifTags.IFD.Exif)
        assert kept[ExifTags.Base.DateTimeOriginal] == "1954:06:01 12:00:00"


def test_a_resolution_of_zero_is_none(tmp_path: Path) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[ExifTags.Base.XResolution] = tags[ExifTags.Base.YResolution] = 0.0
    photo = read(saved(slope(), tmp_path / "a.tif", tiffinfo=tags))
    assert photo.dpi is None
    write(photo.picture, photo, tmp_path / "b.tif", "")
    assert read(tmp_path / "b.tif").picture.size == (40, 24)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_no_decoder_that_starts_programs_sees_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    started: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *given, **_: started.append(given))
    lines = ["%!PS-Adobe-3.0 EPSF-3.0", "%%BoundingBox: 0 0 9 9", "%%EndComments", "showpage", ""]
    (tmp_path / name).write_text("\n".join(lines), encoding="ascii")
    with pytest.raises(PhotoError, match=rf"{name} is not a picture"):
        read(tmp_path / name)
    assert made_from(tmp_path / name) is None
    assert not started


def test_what_another_program_says_about_its_picture_does_not_make_it_ours(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageHistory] = "developed by hand"
    assert made_from(saved(slope(), tmp_path / "a.jpg", exif=exif)) is None


def test_a_folder_where_nothing_can_be_written_is_named(tmp_path: Path) -> None:
    require_place(tmp_path / "new" / "folder")
    assert not list((tmp_path / "new" / "folder").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(PhotoError, match=r"Nothing can be written to .*file"):
        require_place(tmp_path / "file")


def test_a_broken_color_profile_is_said_and_the_photo_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = saved(slope(), tmp_path / "a.png", icc_profile=b"nonsense")
    assert read(file).picture.size == (40, 24)
    assert "color profile" in caplog.text


def test_a_photo_whose_metadata_are_garbage_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    garbage = b"Exif\0\0" + b"garbage!" * 4
    file = saved(slope(), tmp_path / "a.jpg", exif=garbage, dpi=(300, 300))
    assert read(file).picture.size == (40, 24)
    assert "its metadata make no sense" in caplog.text


def test_a_turned_photo_with_a_tag_of_a_wrong_type_is_read_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.ResolutionUnit] = 2
    damaged = exif.tobytes().replace(b"\x01\x28\x00\x03", b"\x01\x28\x00\x02")  # as text
    assert damaged != exif.tobytes()
    photo = read(saved(slope(), tmp_path / "a.jpg", exif=damaged))
    assert photo.picture.size == (24, 40)


def test_a_tiff_with_an_interoperability_directory_keeps_its_metadata(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Box"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {1: "R98"}
    with Image.open(saved(slope(), tmp_path / "a.jpg", exif=exif)) as image:
        exif = image.getexif()
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = exif.get_ifd(ExifTags.IFD.Interop)
    photo = read(saved(slope(), tmp_path / "a.tif", exif=exif))
    write(photo.picture, photo, tmp_path / "b.png", "")
    assert "make no sense" not in caplog.text
    with Image.open(tmp_path / "b.png") as image:
        assert image.getexif()[ExifTags.Base.Make] == "Box"


def test_what_is_partly_see_through_looks_the_same_on_white(tmp_path: Path) -> None:
    """It is colorized as it looks on white; what is under another paper is its own color."""
    picture = Image.new("RGBA", (40, 24), (10, 60, 200, 255))
    picture.putalpha(slope())
    photo = read(saved(picture, tmp_path / "a.png"))
    write(photo.picture, photo, tmp_path / "b.png", "")
    with Image.open(tmp_path / "b.png") as image:
        found = np.asarray(image.convert("RGBA")).astype(int)
    opaque = np.asarray(slope()) > 100
    assert abs(found[opaque] - np.asarray(picture)[opaque]).max() <= 2


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


def test_a_tiff_of_a_kind_that_is_not_read_is_not_called_broken(tmp_path: Path) -> None:
    gray = np.asarray(slope()).astype("<u2")[..., None] * 257
    (tmp_path / "alpha.tif").write_bytes(
        tiff(np.tile(gray, 2), BLACK_IS_ZERO, more=[(ExifTags.Base.ExtraSamples, (2,))])
    )
    (tmp_path / "planes.tif").write_bytes(tiff(np.tile(gray, 3), RGB, by_channel=True))
    with pytest.raises(PhotoError, match=r"^alpha\.tif is not .*: save it without alpha and extra"):
        read(tmp_path / "alpha.tif")
    with pytest.raises(PhotoError, match=r"^planes\.tif cannot be read: it is stored channel by"):
        read(tmp_path / "planes.tif")


def test_xmp_that_is_no_text_is_left_out_alone(tmp_path: Path) -> None:
    more = [(XMP, (1, 2, 3)), (ExifTags.Base.ImageNumber, (7,))]
    file = tmp_path / "a.tif"
    file.write_bytes(tiff(np.asarray(slope())[..., None], BLACK_IS_ZERO, more=more))
    photo = read(file)
    assert photo.xmp is None
    assert photo.exif[ExifTags.Base.ImageNumber] == 7


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "letter.jpg").write_text("Dear all")
    with pytest.raises(PhotoError, match=r"letter\.jpg is not a picture"):
        read(tmp_path / "letter.jpg")
    with pytest.raises(PhotoError, match=r"There is no file .*gone\.jpg"):
        read(tmp_path / "gone.jpg")


def test_an_empty_file_and_a_folder_are_told_to_be_that(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "b.jpg").mkdir()
    with pytest.raises(PhotoError, match=r"^a\.jpg cannot be read: it is empty: copy it once more"):
        read(tmp_path / "a.jpg")
    with pytest.raises(PhotoError, match=r"^b\.jpg cannot be read: it is a folder"):
        read(tmp_path / "b.jpg")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes have no files there")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    told: list[str | None] = []

    def look() -> None:
        told.append(made_from(tmp_path / "a.jpg"))
        with suppress(PhotoError):
            read(tmp_path / "a.jpg")
        told.append("gone on")

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(10)
    assert told == [None, "gone on"]


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


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small whole file of each format, by its name's end, with all that the format can carry."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "1954:06:01 12:00:00"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    options = {"exif": exif, "icc_profile": profile, "dpi": (300, 300)}
    folder = tmp_path_factory.mktemp("whole")
    return {
        suffix: saved(
            slope(), folder / f"a{suffix}", **options if suffix in WRITABLE else {}
        ).read_bytes()
        for suffix in sorted(READABLE)
    }


@given(suffix=st.sampled_from(sorted(READABLE)), data=st.data())
@settings(max_examples=300, deadline=None, derandomize=True)
@pytest.mark.filterwarnings("ignore")
def test_a_file_with_wrong_bytes_is_read_or_refused(
    files: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
    suffix: str,
    data: st.DataObject,
) -> None:
    content = bytearray(files[suffix])
    places = st.integers(0, min(len(content), 300) - 1)  # where the structure is
    for place, value in data.draw(st.dictionaries(places, st.integers(0, 255), max_size=6)).items():
        content[place] = value
    file = tmp_path_factory.mktemp("wrong", numbered=True) / f"wrong{suffix}"
    file.write_bytes(content)
    made_from(file)
    with suppress(PhotoError):
        photo = read(file)
        for result in WRITABLE:
            write(photo.picture, photo, file.with_name(f"out{result}"), "")


def test_a_picture_beyond_the_limit_is_named_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = saved(slope(), tmp_path / "wall.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    with pytest.raises(PhotoError, match=r"wall\.png has more than 178 megapixels"):
        read(file)
    assert made_from(file) is None


@pytest.mark.parametrize("name", ["tea-mug.png", "tea-pot.png"])
def test_a_photo_with_a_mask_in_its_alpha_is_read_as_comfyui_reads_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(folder_paths, "input_directory", str(EXAMPLES))
    _, theirs = nodes.LoadImage().load_image(name)
    ours = np.asarray(read_mask(EXAMPLES / name, (640, 480))) / 255
    assert 0.02 < ours.mean() < 0.5  # the object, not what is around it
    assert abs(ours - theirs[0].numpy()).max() < 1.5 / 255


@pytest.mark.parametrize("level", [0, 10, 255])
def test_of_a_mask_with_transparency_the_object_is_what_is_white_on_white_paper(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, level: int
) -> None:
    """Drawn in white on nothing, it is the drawing; else it is a hole, as ComfyUI has it."""
    caplog.set_level("INFO")
    drawn = slope().convert("RGB").point(lambda _value: level).convert("RGBA")
    drawn.putalpha(slope())
    mask = np.asarray(read_mask(saved(drawn, tmp_path / "cup.png"), (40, 24)))
    expected = np.asarray(slope()) if level == 255 else 255 - np.asarray(slope())
    assert np.array_equal(mask, expected)
    part = "white" if level == 255 else "transparent"
    assert f"The mask cup.png: its object is what is {part} in it." in caplog.messages


def test_a_mask_without_transparency_is_its_own_gray(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for mode in ("L", "RGB", "RGBA"):
        file = saved(slope().convert(mode), tmp_path / f"{mode}.png")
        assert np.array_equal(np.asarray(read_mask(file, (40, 24))), np.asarray(slope()))
    assert not caplog.messages


def test_a_mask_of_another_size_or_of_nothing_is_refused(tmp_path: Path) -> None:
    file = saved(slope(), tmp_path / "left.png")
    with pytest.raises(PhotoError, match=r"left\.png is 40 x 24 pixels and the photo 41 x 24"):
        read_mask(file, (41, 24))
    with pytest.raises(PhotoError, match="black everywhere"):
        read_mask(saved(Image.new("L", (40, 24)), tmp_path / "no.png"), (40, 24))


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    photo = Photo(Image.new("RGB", (17000, 1)), None, Image.Exif(), None, None, "")
    with pytest.raises(PhotoError, match=r"too large\.webp cannot be written"):
        write(photo.picture, photo, tmp_path / "too large.webp", "")
    assert list(tmp_path.iterdir()) == []


def test_a_name_may_be_as_long_as_the_disk_takes(tmp_path: Path) -> None:
    photo = Photo(slope().convert("RGB"), None, Image.Exif(), None, None, "")
    out = tmp_path / f"{'a' * 251}.png"
    write(photo.picture, photo, out, "words")
    assert made_from(out) == "words"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("place", ["letter/a.png", f"{'a' * 300}.png", "a\0.png"])
def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "letter").write_text("Dear all")
    photo = Photo(slope(), None, Image.Exif(), None, None, "")
    with pytest.raises(PhotoError, match=r"a.*\.png cannot be written"):
        write(photo.picture, photo, tmp_path / place, "")
