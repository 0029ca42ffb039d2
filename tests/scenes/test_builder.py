"""Scenes with a known truth."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from lcad_nodes.color.lab import rgb_to_lab
from lcad_nodes.color.names import TERMS, color_matches
from lcad_nodes.scenes.__main__ import main
from lcad_nodes.scenes.arrangement import SceneError
from lcad_nodes.scenes.builder import Scene, SceneBuilder
from lcad_nodes.scenes.dressed import SKIN

SIZE = 96


@pytest.fixture(scope="module")
def builder(stamps: Path, photos: Path) -> SceneBuilder:
    return SceneBuilder([stamps], [photos], SIZE, "train")


def same(one: Scene, other: Scene) -> bool:
    return (
        torch.equal(one.image, other.image)
        and one.text == other.text
        and [(o.name, o.color, o.phrase) for o in one.objects]
        == [(o.name, o.color, o.phrase) for o in other.objects]
    )


def test_a_seed_gives_one_scene(builder: SceneBuilder, stamps: Path, photos: Path) -> None:
    other = SceneBuilder([stamps], [photos], SIZE, "train")
    assert all(same(builder.build(seed), other.build(seed)) for seed in range(10))
    assert not same(builder.build(0), builder.build(1))


def test_every_kind_of_scene_comes_up(builder: SceneBuilder) -> None:
    scenes = [builder.build(seed) for seed in range(300)]
    assert {len(scene.objects) for scene in scenes} == {0, 1, 2, 3}
    assert {o.color for scene in scenes for o in scene.objects} >= {*TERMS, None, "light gray"}
    assert 0.05 < sum(not scene.text for scene in scenes) / 300 < 0.4
    partial = [s for s in scenes if s.text and any(o.phrase is None for o in s.objects)]
    assert partial
    kinds = [{o.name for o in scene.objects} for scene in scenes if len(scene.objects) > 1]
    assert 0.25 < sum(len(names) == 1 for names in kinds) / len(kinds) < 0.65


def test_pictures_and_masks_have_their_shapes_and_ranges(builder: SceneBuilder) -> None:
    for seed in range(20):
        scene = builder.build(seed)
        assert scene.image.shape == (3, SIZE, SIZE)
        assert scene.image.min() >= 0
        assert scene.image.max() <= 1
        for thing in scene.objects:
            assert thing.mask.shape == (SIZE, SIZE)
            assert set(thing.mask.unique().tolist()) == {0.0, 1.0}


def test_phrases_stand_in_the_text(builder: SceneBuilder) -> None:
    for seed in range(100):
        scene = builder.build(seed)
        phrases = [o.phrase for o in scene.objects if o.phrase]
        assert all(phrase in scene.text for phrase in phrases)
        assert bool(scene.text) == bool(phrases)
        assert len(set(phrases)) == len(phrases)


def test_a_full_description_names_every_object_and_its_color(builder: SceneBuilder) -> None:
    for seed in range(40):
        scene = builder.build(seed, objects=1 + seed % 3, description="full")
        for thing in scene.objects:
            assert thing.color in TERMS
            assert thing.phrase is not None
            assert thing.color in thing.phrase.lower()


def columns(scenes: Sequence[Scene]) -> float:
    """The share of scenes whose things lie beneath each other rather than side by side."""
    spreads = [
        torch.stack([thing.mask.nonzero().float().mean(dim=0) for thing in scene.objects]).std(0)
        for scene in scenes
        if len(scene.objects) > 1 and all(thing.mask.any() for thing in scene.objects)
    ]
    return sum(bool(down > across) for down, across in spreads) / len(spreads)


def test_columns_are_drawn_more_often_to_learn_from_than_to_measure_with(
    builder: SceneBuilder,
) -> None:
    assert columns([builder.build(seed) for seed in range(400)]) == pytest.approx(0.4, abs=0.09)
    measured = [builder.build(seed, objects=2, description="full") for seed in range(300)]
    assert columns(measured) == pytest.approx(0.2, abs=0.07)


def test_no_description_is_empty(builder: SceneBuilder) -> None:
    scene = builder.build(3, objects=2, description="none")
    assert scene.text == ""
    assert [o.phrase for o in scene.objects] == [None, None]


def test_objects_of_one_kind_differ_in_color_and_are_told_apart_by_place(
    builder: SceneBuilder,
) -> None:
    for seed in range(20):
        scene = builder.build(seed, objects=3, kinds="same", description="full")
        assert len({o.name for o in scene.objects}) == 1
        assert len({o.color for o in scene.objects}) == 3
        ends = ("left", "right") if "left" in scene.text.lower() else ("top", "bottom")
        for word, thing in zip((ends[0], "middle", ends[1]), scene.objects, strict=True):
            assert word in str(thing.phrase).lower()
        across = [o.mask.nonzero()[:, 1 if ends[0] == "left" else 0] for o in scene.objects]
        middles = [place.float().mean().item() for place in across]
        assert middles == sorted(middles)


def test_objects_of_different_kinds_do_not_contain_each_others_names(
    builder: SceneBuilder,
) -> None:
    for seed in range(60):
        names = [o.name for o in builder.build(seed, objects=3, kinds="different").objects]
        pairs = [(a, b) for i, a in enumerate(names) for j, b in enumerate(names) if i != j]
        assert not any(a in b for a, b in pairs)


def test_the_same_scene_is_described_with_places_or_without(builder: SceneBuilder) -> None:
    for seed in range(20):
        told, untold = (
            builder.build(seed, objects=2, kinds="different", description="full", places=places)
            for places in (True, False)
        )
        assert torch.equal(told.image, untold.image)
        places = {"left", "right", "leftmost", "rightmost", "top", "bottom"}
        assert all(set(str(o.phrase).lower().split()) & places for o in told.objects)
        assert not any(set(str(o.phrase).lower().split()) & places for o in untold.objects)


def test_things_are_named_from_left_to_right_or_in_any_order(builder: SceneBuilder) -> None:
    ordered = []
    for seed in range(60):
        scene = builder.build(seed, objects=2, kinds="different", description="full")
        first, second = (scene.text.index(str(o.phrase)) for o in scene.objects)
        ordered.append(first < second)
    assert 0.6 < sum(ordered) / len(ordered) < 0.9


def test_of_things_of_one_kind_some_descriptions_do_not_tell_places(builder: SceneBuilder) -> None:
    told = []
    places = {"left", "right", "leftmost", "rightmost", "top", "bottom"}
    for scene in (builder.build(seed) for seed in range(150)):
        phrases = [str(o.phrase) for o in scene.objects if o.phrase]
        if len(phrases) > 1 and len({o.name for o in scene.objects}) == 1:
            told.append(bool(set(" ".join(phrases).lower().split()) & places))
    assert 0.5 < sum(told) / len(told) < 0.95


def test_objects_hardly_hide_each_other(builder: SceneBuilder) -> None:
    for seed in range(30):
        masks = [o.mask for o in builder.build(seed, objects=3).objects]
        assert torch.stack(masks).sum(dim=0).max() <= 1
        assert min(mask.sum() for mask in masks) > 0.01 * SIZE**2


def test_backdrops_and_floors_are_for_learning_and_not_for_measuring(
    builder: SceneBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they say of one version can be compared with another."""
    measured, free = builder.build(3, objects=2, description="full"), builder.build(3)
    monkeypatch.setattr("lcad_nodes.scenes.backgrounds.STUDIO", 1.0)
    monkeypatch.setattr("lcad_nodes.scenes.builder.FLOOR", 1.0)
    assert same(measured, builder.build(3, objects=2, description="full"))
    assert not same(free, builder.build(3))
    grounds = [builder.build(seed).image.amin(dim=0).median() for seed in range(40)]
    assert torch.stack(grounds).median() > 0.4


def test_what_a_scene_calls_red_is_judged_red(builder: SceneBuilder) -> None:
    judged: list[bool] = []
    for seed in range(120):
        scene = builder.build(seed, description="full")
        lab = rgb_to_lab(scene.image[None])[0]
        judged += [
            color_matches(lab[:, thing.mask > 0].mean(dim=1), thing.color)
            for thing in scene.objects
            if thing.color
        ]
    assert len(judged) > 150
    assert sum(judged) / len(judged) > 0.97


def test_an_undescribed_photograph_is_a_scene_without_objects(builder: SceneBuilder) -> None:
    scene = builder.build(5, objects=0)
    assert scene.objects == ()
    assert scene.text == ""


def test_scenes_need_no_photographs(stamps: Path) -> None:
    builder = SceneBuilder([stamps], [], SIZE, "held_out")
    assert all(builder.build(seed).objects for seed in range(30))


def test_too_many_objects_are_an_error(builder: SceneBuilder) -> None:
    with pytest.raises(SceneError, match="not 4"):
        builder.build(0, objects=4)


def test_the_command_writes_a_sheet(stamps: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    options = ["--stamps", str(stamps), "--photos", str(photos), "--out", str(out)]
    main([*options, "--size", "64", "--count", "9"])
    with Image.open(out) as sheet:
        assert sheet.size == (8 * 64, 2 * (64 + 44))


def test_people_wear_the_colors_that_are_named_and_keep_their_skin(
    stamps: Path, people: Path
) -> None:
    builder = SceneBuilder([stamps], [], SIZE, "train", [people])
    scenes = [builder.build(seed) for seed in range(300)]
    dressed = [s for s in scenes if {o.name for o in s.objects} & {"jacket", "trousers"}]
    assert 0.1 < len(dressed) / 300 < 0.4
    assert any("man" in scene.text.lower().split() for scene in dressed)
    right = []
    for scene in dressed:
        assert {thing.name for thing in scene.objects} <= {"jacket", "trousers", SKIN}
        for thing in scene.objects:
            if thing.color in TERMS and thing.mask.sum() > 200:
                mean = rgb_to_lab(scene.image[None])[0, :, thing.mask > 0].mean(dim=1)
                right.append(bool(color_matches(mean, thing.color)))
    assert len(right) > 30
    assert sum(right) / len(right) > 0.85  # some are aged, and their noise is not
    skin = {o.color for scene in scenes for o in scene.objects if o.name == SKIN}
    assert skin == {"light", "fair", "pale", "natural", None}  # None: not told of
    assert any("skin" in scene.text.lower().split() for scene in dressed)


def test_scenes_without_people_do_not_change_when_there_are_some(
    stamps: Path, people: Path, builder: SceneBuilder, photos: Path
) -> None:
    other = SceneBuilder([stamps], [photos], SIZE, "train", [people])
    for seed in range(6):
        asked = {"objects": 1 + seed % 3, "description": "full"}
        assert same(builder.build(seed, **asked), other.build(seed, **asked))


def test_people_to_measure_with_wear_one_thing_each_and_have_skin(
    stamps: Path, people: Path
) -> None:
    builder = SceneBuilder([stamps], [], SIZE, "held_out", [people])
    for seed in range(20):
        count = 1 + seed % 2
        scene = builder.build(seed, objects=count, kinds="people", description="full")
        skins = [thing for thing in scene.objects if thing.name == SKIN]
        worn = [thing for thing in scene.objects if thing.name != SKIN]
        assert len(skins) == len(worn) == count
        assert all(thing.color in TERMS and thing.phrase for thing in worn)
        assert not any(thing.color or thing.phrase for thing in skins)
        for thing in worn:
            assert not any((thing.mask * skin.mask).any() for skin in skins)


def test_portraits_are_of_one_person_in_natural_colors(stamps: Path, people: Path) -> None:
    builder = SceneBuilder([stamps], [], SIZE, "train", [people])
    for seed in range(10):
        scene = builder.build(seed, objects=1, kinds="people", description="none")
        assert scene.text == ""
        assert [(thing.name, thing.phrase) for thing in scene.objects] == [(SKIN, None)]


def test_people_are_asked_for_in_vain_where_there_are_none(builder: SceneBuilder) -> None:
    with pytest.raises(SceneError, match="no people"):
        builder.build(0, kinds="people")
