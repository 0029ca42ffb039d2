"""Scenes as training samples."""

import shutil
from pathlib import Path

import torch
from accelerate import Accelerator

from lcad_nodes.scenes.cutouts import read_cutouts
from lcad_nodes.training.config import DataConfig
from lcad_nodes.training.data.batches import batches
from lcad_nodes.training.data.scenes import GOLDEN_RATIO, Scenes


def test_every_picture_of_a_batch_keeps_its_own_objects(stamps: Path) -> None:
    config = DataConfig((str(stamps),), size=32, workers=1)
    scenes, batch = Scenes(config), next(batches(config, 6, Accelerator(), 0))
    for number, objects in enumerate(batch.objects):
        expected = scenes[number].objects
        assert [phrase for phrase, _ in objects] == [phrase for phrase, _ in expected]
        for (_, mask), (_, own) in zip(objects, expected, strict=True):
            assert torch.equal(mask, own)
    assert sum(map(len, batch.objects)) > 6


def test_as_many_photographs_as_asked_for_are_left_as_they_are(stamps: Path, photos: Path) -> None:
    config = DataConfig((str(stamps),), (str(photos),), simple=0.5, natural=0.5, size=32)
    scenes = Scenes(config)
    samples = [scenes[number] for number in range(64)]
    plain = [sample for sample in samples if not sample.objects]
    assert 32 <= len(plain) <= 40  # half of 64, and of the other half an eighth
    assert not any(sample.text for sample in plain)


def test_no_description_of_an_unplaced_scene_says_where_things_are(stamps: Path) -> None:
    def texts(unplaced: float) -> str:
        scenes = Scenes(DataConfig((str(stamps),), size=32, unplaced=unplaced))
        return " ".join(scenes[number].text for number in range(64))

    assert any(word in texts(0) for word in ("left", "right", "top", "bottom", "middle"))
    assert not any(word in texts(1) for word in ("left", "right", "top", "bottom", "middle"))


def test_what_is_held_out_is_in_no_sample(stamps: Path, tmp_path: Path) -> None:
    for path in sorted(stamps.glob("*.png"))[::4]:  # one of each name
        shutil.copy(path, tmp_path)
        shutil.copy(path.with_suffix(".txt"), tmp_path)
    train, held_out = (
        {cutout.name for cutout in read_cutouts([tmp_path], split)}
        for split in ("train", "held_out")
    )
    builder = Scenes(DataConfig((str(tmp_path),), size=32)).builder
    shown = {thing.name for seed in range(100) for thing in builder.build(seed).objects}
    assert held_out
    assert shown
    assert shown <= train


def test_a_share_of_scenes_are_people_of_whom_nothing_is_said(stamps: Path, people: Path) -> None:
    config = DataConfig((str(stamps),), people=(str(people),), portraits=0.25, size=32)
    scenes = Scenes(config)
    portraits = [n for n in range(40) if n * GOLDEN_RATIO % 1 < 0.25]
    assert 8 <= len(portraits) <= 12
    for number in portraits:
        assert scenes[number].text == ""
        assert [phrase for phrase, _ in scenes[number].objects] == [""]  # the skin
    assert sum(bool(scenes[number].text) for number in range(40)) > 15


def test_skin_that_is_not_told_of_is_known_of_all_people(stamps: Path, people: Path) -> None:
    scenes = Scenes(DataConfig((str(stamps),), people=(str(people),), size=64))
    samples = [scenes[number].objects for number in range(150)]
    told = [o for o in samples if any("skin" in phrase for phrase, _ in o)]
    unsaid = [o for o in samples if any(phrase == "" for phrase, _ in o)]
    assert len(told) > 5
    assert len(unsaid) > 5
    skin = [mask for objects in unsaid for phrase, mask in objects if phrase == ""]
    assert sum(bool(mask.any()) for mask in skin) > 0.8 * len(skin)
