"""Photographs of outlined things, described."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lcad_nodes.scenes.cutouts import split_of
from lcad_nodes.scenes.described import DESCRIPTIONS, describe_photos

TWO_FISH, TWO_HELD_OUT, ONE = "things-fish4", "things-screwdriver3", "erase-gosling"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    for name in (TWO_FISH, TWO_HELD_OUT, ONE, "unknown"):
        Image.fromarray(noise).save(tmp_path / f"{name}.jpg")
    return tmp_path


def test_photographs_are_chosen_by_split_and_by_how_many_things_are_outlined(photos: Path) -> None:
    def counts(*asked: object) -> list[int]:
        return [len(s[0].objects) for s in describe_photos([photos], *asked)]  # pyright: ignore[reportArgumentType]

    assert split_of(Path(f"{TWO_HELD_OUT}.jpg")) == "held_out"
    assert counts("train", 60, [2, 3]) == [2]
    assert counts("train", 60, [1]) == [1]
    assert counts("held_out", 60, [1, 2, 3]) == [2]


def test_descriptions_name_every_thing_with_its_place_in_a_color_of_its_own(photos: Path) -> None:
    (scenes,) = describe_photos([photos], "train", 60, [2])
    assert len(scenes) == len({scene.text for scene in scenes}) == DESCRIPTIONS
    for scene in scenes:
        assert scene.image.shape == (3, 60, 80)
        assert len({thing.color for thing in scene.objects}) == 2
        middles = [thing.mask.nonzero().float().mean(dim=0) for thing in scene.objects]
        across = bool((middles[0] - middles[1]).abs().argmax())
        places = ("left", "right") if across else ("top", "bottom")
        assert middles[0][int(across)] < middles[1][int(across)]
        for thing, place in zip(scene.objects, places, strict=True):
            phrase = str(thing.phrase)
            assert phrase in scene.text
            assert place in phrase.lower()
            assert str(thing.color) in phrase.lower()


def test_a_single_thing_needs_no_place(photos: Path) -> None:
    (scenes,) = describe_photos([photos], "train", 60, [1])
    for scene in scenes:
        assert not {"left", "middle", "right", "top", "bottom"} & set(scene.text.lower().split())
