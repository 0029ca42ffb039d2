"""Things of photographs, painted where they are."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from lcad_nodes.scenes.builder import SceneBuilder, SceneError
from lcad_nodes.scenes.cutouts import split_of
from lcad_nodes.scenes.packages import read_list
from lcad_nodes.scenes.photographs import LIST as PHOTOGRAPHS
from lcad_nodes.scenes.segments import LIST, read_segmented


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pale disc on a dark ground, 93 % of the area that the held-out plate's outline has."""
    image = Image.new("RGB", (512, 384), (60, 70, 60))
    ImageDraw.Draw(image).ellipse((113, 59, 399, 345), fill=(225, 215, 200))
    path = tmp_path_factory.mktemp("segmented") / "things-plate.png"
    image.save(path)
    return path


def test_a_rough_outline_moves_onto_the_edge(plate: Path) -> None:
    (photo,) = read_segmented([plate], "held_out")
    (segment,) = photo.segments
    alpha = np.asarray(segment.shading.getchannel("A")) > 127
    true = np.asarray(photo.photo)[..., 0] > 140
    assert segment.name == "plate"
    assert (alpha & true).sum() / (alpha | true).sum() > 0.97


def test_only_the_thing_changes_its_color(plate: Path, stamps: Path, photos: Path) -> None:
    builder = SceneBuilder([stamps], [photos, plate], 96, "held_out")
    scene = builder.build(1, segments=True, description="full")
    (thing,) = scene.objects
    rest = scene.image[:, torch.nn.functional.max_pool2d(thing.mask[None], 9, 1, 4)[0] == 0]
    ground = torch.tensor([60.0, 70.0, 60.0]) / 255
    assert (rest - ground[:, None]).abs().max() < 0.02
    assert thing.name == "plate"
    assert str(thing.color) in str(thing.phrase).lower()


def test_a_fifth_of_free_scenes_are_of_photographs_with_outlines(
    plate: Path, stamps: Path, photos: Path
) -> None:
    builder = SceneBuilder([stamps], [photos, plate], 32, "held_out")
    scenes = [builder.build(seed) for seed in range(150)]
    assert 0.1 < sum(o.name == "plate" for s in scenes for o in s.objects) / 150 < 0.25
    measured = [builder.build(seed, objects=1, description="full") for seed in range(50)]
    assert not any(o.name == "plate" for s in measured for o in s.objects)


def test_photographs_without_outlines_cannot_be_asked_for(stamps: Path, photos: Path) -> None:
    with pytest.raises(SceneError, match=r"segments\.json"):
        SceneBuilder([stamps], [photos], 32, "train").build(0, segments=True)


def test_every_outline_belongs_to_a_photograph_and_lies_in_it() -> None:
    outlines = json.loads(LIST.read_text(encoding="utf-8"))
    assert set(outlines) <= set(read_list(PHOTOGRAPHS))
    for things in outlines.values():
        assert 1 <= len(things) <= 4  # as many as can be told apart by their places
        for outline in (outline for thing in things for outline in thing["outlines"]):
            assert len(outline) % 2 == 0
            assert len(outline) >= 6
            assert min(outline) >= 0
            assert max(outline) <= 100
    held_out = [stem for stem in outlines if split_of(Path(stem)) == "held_out"]
    assert len(held_out) >= 8
    assert len(outlines) - len(held_out) >= 25
