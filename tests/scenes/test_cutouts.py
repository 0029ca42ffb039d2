"""Cut-outs read from stamps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lcad_nodes.scenes import packages
from lcad_nodes.scenes.cutouts import StampsError, object_name, read_cutouts, split_of

Write = Callable[[Image.Image, str], Path]


@pytest.mark.parametrize(
    ("caption", "name"),
    [
        ("A crowned crane.", "crowned crane"),
        ("An owl!", "owl"),
        ("A red apple.", "apple"),
        ("A “Fuji” apple.", "fuji apple"),
        ("A pair of open scissors.", "open scissors"),
        ("A plumber’s wrench.", "plumber wrench"),
        ("A dumper. It carries its load in the front.", "dumper"),
        ("The caboose—a carriage for the guard.", "caboose"),
        ("A very small pumpkin.", "pumpkin"),
        ("An orange.", None),
        ("Boom!!!", None),
        ("Remember to flush the toilet.", None),
        ("A stethoscope lets your doctor listen to your heart.", None),
        ("An F-22 Raptor.", None),
        ("A red.", None),
        ("", None),
    ],
)
def test_names_are_short_noun_phrases_without_article_or_color(
    caption: str, name: str | None
) -> None:
    assert object_name(caption) == name


def test_the_two_splits_share_nothing_and_a_fifth_is_held_out(stamps: Path) -> None:
    files = {path.relative_to(stamps) for path in stamps.glob("*.png")}
    held_out = {path for path in files if split_of(path) == "held_out"}
    train, held = read_cutouts([stamps], "train"), read_cutouts([stamps], "held_out")
    assert len(held) == len(held_out)
    assert len(train) + len(held) == len(files)
    many = [split_of(Path("things") / f"{a}{b}x") for a in "abcdefghij" for b in "klmnopqrst"]
    assert many.count("held_out") == pytest.approx(20, abs=10)


def test_folders_are_read_together_and_split_each_by_its_own_names(
    stamps: Path, tmp_path: Path
) -> None:
    ball(40, 220).save(tmp_path / "gizmo-1.png")
    (tmp_path / "gizmo-1.txt").write_text("The gizmo.\n", encoding="utf-8")
    names = [cutout.name for cutout in read_cutouts([stamps, tmp_path], "train")]
    assert names[-1] == "gizmo"
    assert names[:-1] == [cutout.name for cutout in read_cutouts([stamps], "train")]


def test_a_folder_that_is_not_there_is_named(stamps: Path, tmp_path: Path) -> None:
    with pytest.raises(StampsError, match=r"no folder of stamps at .*gone"):
        read_cutouts([stamps, tmp_path / "gone"], "train")


@pytest.mark.parametrize("variant", ["frog-1", "frog2", "frog_3", "frog-a", "frog_b"])
def test_variants_of_one_picture_are_on_one_side(variant: str) -> None:
    for folder in ("animals", "birds", "food", "town", "hats"):
        assert split_of(Path(folder) / f"{variant}.png") == split_of(Path(folder) / "frog.png")


@pytest.mark.parametrize(
    "name",
    ["IMG_{:04}", "DSC_{:04}", "{:012}", "P10{:05}", "IMG_20240131_{:06}", "scan{:04}", "{}"],
)
def test_the_numbers_of_cameras_and_sets_are_no_variants(name: str) -> None:
    sides = [split_of(Path(f"{name.format(number)}.jpg")) for number in range(100)]
    assert sides.count("held_out") == pytest.approx(20, abs=10)


def test_the_shipped_pictures_stay_on_their_side() -> None:
    lists = ("photographs", "more_photographs", "renderings")
    files = [Path(packages.__file__).with_name(f"{name}.txt") for name in lists]
    sides = [[split_of(Path(f"{name}.png")) for name in packages.read_list(f)] for f in files]
    assert [side.count("held_out") for side in sides] == [51, 18, 208]
    assert split_of(Path("plants/trees/tree336.png")) == split_of(Path("plants/trees/tree.png"))


def test_the_split_is_the_same_whichever_folder_above_is_named(tmp_path: Path) -> None:
    stamps = tmp_path / "stamps"
    for number, folder in enumerate(("animals/birds", "animals/fish", "food")):
        (stamps / folder).mkdir(parents=True)
        for name in "abcdefghijklmnopqrst":
            ball(40 + number, 220).save(stamps / folder / f"{name}x.png")
            (stamps / folder / f"{name}x.txt").write_text(f"A {name}x.\n", encoding="utf-8")
    whole = read_cutouts([stamps], "held_out")
    parts = [stamps / "animals/birds", stamps / "animals/fish", stamps / "food"]
    for folders in (parts, [stamps / "animals", stamps / "food"], [tmp_path]):
        assert [c.name for c in read_cutouts(folders, "held_out")] == [c.name for c in whole]
    files = {path.relative_to(stamps) for path in stamps.rglob("*.png")}
    assert len(whole) == sum(split_of(path) == "held_out" for path in files)


def test_what_is_no_use_of_tux_paints_is_left_out_of_a_folder_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "stamps" / "household" / "dishes"
    folder.mkdir(parents=True)
    ball(40, 220).save(folder / "glass.png")
    (folder / "glass.txt").write_text("A glass.\n", encoding="utf-8")
    with pytest.raises(StampsError, match="no usable cut-outs"):
        read_cutouts([folder], split_of(Path("household/dishes/glass.png")))


def ball(value: int, edge: int, size: int = 90) -> Image.Image:
    """A gray disc, shaded from left to right between two values."""
    y, x = np.mgrid[-1 : 1 : 1j * size, -1 : 1 : 1j * size]
    gray = np.interp(x, [-1, 1], [value, edge])
    return Image.fromarray(
        np.dstack([gray, gray, gray, 255.0 * (x**2 + y**2 < 0.9)]).astype(np.uint8)
    )


def read_any(folder: Path) -> int:
    return len(read_cutouts([folder], split_of(Path("thing.png"))))


def test_a_shaded_object_is_read_and_cropped(stamp: Write) -> None:
    folder = stamp(ball(40, 220), "A ball.")
    (cutout,) = read_cutouts([folder], split_of(Path("thing.png")))
    assert cutout.name == "ball"
    assert max(cutout.natural.size) < 90
    assert cutout.shading.size == cutout.natural.size


@pytest.mark.parametrize(
    ("image", "caption"),
    [
        (ball(0, 0), "A silhouette."),
        (ball(40, 220, size=40), "A small ball."),
        (ball(40, 220), "Look at this!"),
        (Image.new("RGBA", (90, 90)), "A nothing."),
    ],
)
def test_what_is_no_use_is_left_out(stamp: Write, image: Image.Image, caption: str) -> None:
    with pytest.raises(StampsError, match="no usable cut-outs"):
        read_any(stamp(image, caption))


@pytest.mark.parametrize("broken", ["thing.png", "thing.txt"])
def test_what_cannot_be_read_is_named_and_left_out(
    stamp: Write, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    folder = stamp(ball(40, 220), "A ball.")
    content = (folder / broken).read_bytes()
    (folder / broken).write_bytes(b"\xff" + content if "txt" in broken else content[:200])
    with pytest.raises(StampsError, match="no usable cut-outs"):
        read_any(folder)
    assert f"{folder / 'thing.png'} or its caption cannot be read" in caplog.text


def test_neutral_parts_of_a_colored_thing_take_no_color(stamp: Write) -> None:
    """A red thing with a gray lower third, like a car on its tires."""
    pixels = np.array(ball(60, 220))
    pixels[:65, :, 1:3] //= 4
    folder = stamp(Image.fromarray(pixels), "A car.")
    (cutout,) = read_cutouts([folder], split_of(Path("thing.png")))
    takes = np.asarray(cutout.shading)[..., 1]
    assert takes[20, 40] == 255
    assert takes[75, 40] == 0
