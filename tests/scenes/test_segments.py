"""Things of photographs, painted where they are."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from lcad_nodes.scenes import segments
from lcad_nodes.scenes.builder import SceneBuilder
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
    ground = torch.tensor([60.0, 70.0, 60.0]) / 255
    as_new, named = [], []
    for scene in map(builder.build, range(100)):
        for thing in scene.objects:
            if thing.name == "plate":
                rest = torch.nn.functional.max_pool2d(thing.mask[None], 9, 1, 4)[0] == 0
                as_new.append((scene.image[:, rest] - ground[:, None]).abs().max() < 0.02)
                if thing.phrase:
                    named.append(str(thing.color) in thing.phrase.lower())
    assert 0.3 < sum(as_new) / len(as_new) < 0.7  # the others are aged
    assert sum(named) / len(named) > 0.5  # the others are called "a plate"


def test_a_fifth_of_free_scenes_are_of_photographs_with_outlines(
    plate: Path, stamps: Path, photos: Path
) -> None:
    builder = SceneBuilder([stamps], [photos, plate], 32, "held_out")
    scenes = [builder.build(seed) for seed in range(150)]
    assert 0.1 < sum(o.name == "plate" for s in scenes for o in s.objects) / 150 < 0.25
    measured = [builder.build(seed, objects=1, description="full") for seed in range(50)]
    assert not any(o.name == "plate" for s in measured for o in s.objects)


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


def test_things_of_a_photograph_listed_from_top_to_bottom_are_told_as_they_lie_in_a_row(
    stamps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = Image.new("RGB", (480, 480), (60, 70, 60))
    draw = ImageDraw.Draw(image)
    draw.rectangle((260, 60, 440, 200), fill=(225, 215, 200))
    draw.rectangle((40, 280, 220, 420), fill=(215, 205, 190))
    image.save(tmp_path / "stairs.png")
    outlines = {
        "stairs": [
            {"name": "upper", "outlines": [[54, 12, 92, 12, 92, 42, 54, 42]]},
            {"name": "lower", "outlines": [[8, 58, 46, 58, 46, 88, 8, 88]]},
        ]
    }
    listed = tmp_path / "segments.json"
    listed.write_text(json.dumps(outlines), encoding="utf-8")
    monkeypatch.setattr(segments, "LIST", listed)
    split = split_of(Path("stairs.png"))
    builder = SceneBuilder([stamps], [tmp_path / "stairs.png"], 64, split)
    told = set()
    for scene in map(builder.build, range(400)):
        places = {"left", "right"}
        for thing in scene.objects:
            if thing.name in ("upper", "lower") and thing.phrase and len(scene.objects) == 2:
                middle = thing.mask.nonzero()[:, 1].float().mean() / 64
                for side in places & set(thing.phrase.split()):
                    assert (side == "left") == (middle < 0.5)
                    told.add((thing.name, side))
    assert len(told) == 4  # half of the photographs are mirrored
