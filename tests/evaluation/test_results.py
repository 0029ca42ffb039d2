"""A set of photographs and descriptions, colorized with the published sampler."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nodes
import numpy as np
import pytest
import torch
from comfy_extras.nodes_custom_sampler import SamplerCustom
from PIL import Image

from lcad_nodes.evaluation.__main__ import main
from lcad_nodes.evaluation.colorizer import Colorizer, guide
from lcad_nodes.evaluation.compare import SAME, compare
from lcad_nodes.evaluation.matching import Files, match
from lcad_nodes.evaluation.metrics import Backbones
from lcad_nodes.evaluation.results import Published, list_wanted
from lcad_nodes.evaluation.results import colorize as write_results
from lcad_nodes.host.conditioning import add_luminance, empty_latent
from lcad_nodes.nodes.instances import GuideAttention, InstancesNode
from lcad_nodes.nodes.sample import ReferenceSchedule


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "vg").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    for name in ("a.jpg", "vg/1.jpg"):
        Image.fromarray(noise).save(folder / name)
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture
def masks(photos: Path) -> Path:
    """A mask of each half of `a.jpg`, for its description number 2 alone."""
    folder = photos / "masks"
    folder.mkdir()
    halves = np.zeros((2, 40, 60), dtype=np.uint8)
    halves[0, :, :30], halves[1, :, 30:] = 255, 255
    for number, half in enumerate(halves):
        Image.fromarray(half).save(folder / f"a_2.{number}.png")
    return folder


def colorize(checkpoint: Path, photos: Path, out: Path, *more: str) -> None:
    captions = photos.parent / "captions.json"
    said = {"a.jpg_0": "a red cup", "a.jpg_2": "a blue cup", "vg_1.jpg": "a hat", "broken.jpg": "x"}
    captions.write_text(json.dumps(said), encoding="utf-8")
    files = ["--checkpoint", checkpoint, "--photos", photos, "--captions", captions, "--out", out]
    main(["colorize", *map(str, files), "--size", "64", "--steps", "2", *more])


def test_every_description_gets_its_picture_and_a_second_call_goes_on(
    small_checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    colorize(small_checkpoint, photos, out)
    assert "3 pictures made, 0 were there, 1 left out" in capsys.readouterr().out
    made = {file.relative_to(out).as_posix() for file in out.rglob("*.png")}
    assert made == {"a_0.png", "a_2.png", "vg/1_0.png"}
    pictures = [np.asarray(Image.open(out / name), dtype=int) for name in ("a_0.png", "a_2.png")]
    assert pictures[0].shape == (64, 64, 3)
    assert np.abs(pictures[0] - pictures[1]).max() > 1
    before = (out / "a_0.png").read_bytes()
    (out / "a_0.png").unlink()
    colorize(small_checkpoint, photos, out)
    assert "1 pictures made, 2 were there" in capsys.readouterr().out
    assert (out / "a_0.png").read_bytes() == before


def test_descriptions_with_masks_are_guided_by_them(
    small_checkpoint: Path,
    photos: Path,
    masks: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    phrases = tmp_path / "phrases.json"
    phrases.write_text(json.dumps({"a.jpg_2": ["a blue", "cup"]}))
    plain, guided, other = tmp_path / "plain", tmp_path / "guided", tmp_path / "other"
    options = ["--masks", str(masks), "--phrases", str(phrases), "--strength", "5"]
    colorize(small_checkpoint, photos, plain)
    colorize(small_checkpoint, photos, guided, *options)
    assert "3 pictures made (1 of them by masks)" in capsys.readouterr().out
    colorize(small_checkpoint, photos, other, *options, "--mode", "fast")
    same = [
        (plain / name).read_bytes() == (guided / name).read_bytes()
        for name in ("a_0.png", "a_2.png", "vg/1_0.png")
    ]
    assert same == [True, False, True]
    assert (guided / "a_2.png").read_bytes() != (other / "a_2.png").read_bytes()
    Image.new("L", (60, 40), 255).save(masks / "a_2.1.png")
    with pytest.raises(SystemExit, match="other settings"):
        colorize(small_checkpoint, photos, guided, *options)


def test_first_descriptions_are_guided_by_their_own_masks_or_the_photographs(
    small_checkpoint: Path, photos: Path, masks: Path, tmp_path: Path
) -> None:
    for number in (0, 1):
        (masks / f"a_2.{number}.png").rename(masks / f"a_0.{number}.png")
    phrases = tmp_path / "phrases.json"
    made: dict[str, bytes] = {}
    for name, key in [("numbered", "a.jpg_0"), ("general", "a.jpg"), ("other", "a.jpg_2")]:
        phrases.write_text(json.dumps({key: ["a red", "cup"]}))
        options = ["--first", "--masks", str(masks), "--phrases", str(phrases)]
        colorize(small_checkpoint, photos, tmp_path / name, *options)
        picture = tmp_path / name / "a.png"
        made[name] = picture.read_bytes() if picture.exists() else b""
    assert made["numbered"] == made["general"] != b""
    assert made["other"] == b""  # two masks, and one phrase: the whole description


def test_what_is_asked_for_is_looked_at_before_the_model_is_loaded(
    photos: Path, masks: Path, tmp_path: Path
) -> None:
    checkpoint, out = tmp_path / "none.safetensors", tmp_path / "out"
    phrases = tmp_path / "phrases.json"
    cases = [(None, "cannot be read as phrases"), ({"a.jpg": ["a", " "]}, "texts of one line")]
    for content, complaint in cases:
        if content:
            phrases.write_text(json.dumps(content))
        with pytest.raises(SystemExit, match=complaint):
            colorize(checkpoint, photos, out, "--masks", str(masks), "--phrases", str(phrases))
    for file in masks.iterdir():
        file.rename(masks / f"other.{file.name}")
    with pytest.raises(SystemExit, match="is named after a described photograph"):
        colorize(checkpoint, photos, out, "--masks", str(masks))


def test_a_checkpoint_that_is_not_there_is_named(photos: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "none.ckpt"
    with pytest.raises(SystemExit, match=f"There is no checkpoint {re.escape(str(checkpoint))}"):
        colorize(checkpoint, photos, tmp_path / "out")


def test_results_do_not_go_among_the_photographs_themselves(
    small_checkpoint: Path, photos: Path
) -> None:
    with pytest.raises(SystemExit, match="is the folder of photographs: name another"):
        colorize(small_checkpoint, photos, photos)
    assert not list(photos.rglob("*.png"))


def test_two_photographs_of_one_name_are_told(
    small_checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (60, 40)).save(photos / "a.tif")
    said = {"a.jpg": "a red cup", "a.tif": "a blue cup"}
    captions = tmp_path / "both.json"
    captions.write_text(json.dumps(said), encoding="utf-8")
    with pytest.raises(SystemExit, match="has more than one picture named a"):
        colorize(small_checkpoint, photos, tmp_path / "out", "--captions", str(captions))


def test_going_on_where_results_lie_among_the_masks(
    small_checkpoint: Path, photos: Path, masks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = photos.parent / "phrases.json"
    texts.write_text(json.dumps({"a.jpg": ["a", "cup"]}))
    for count in (3, 0):
        options = ["--masks", str(masks), "--phrases", str(texts)]
        colorize(small_checkpoint, photos, masks / "out", *options)
        assert f"{count} pictures made" in capsys.readouterr().out


def test_masks_that_do_not_fit_cost_one_picture(
    small_checkpoint: Path,
    photos: Path,
    masks: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    phrases = tmp_path / "phrases.json"
    for given, complaint in [
        (["a cup"], "it has 2 masks, but its phrases"),
        (["a cup", "a dog"], "the phrase 'a cup' is not in the text 'a blue cup'"),
    ]:
        phrases.write_text(json.dumps({"a.jpg_2": given}))
        options = ["--masks", str(masks), "--phrases", str(phrases)]
        colorize(small_checkpoint, photos, tmp_path / given[-1], *options)
        assert "2 pictures made (0 of them by masks), 0 were there, 2" in capsys.readouterr().out
        assert complaint in caplog.text
    with pytest.raises(SystemExit, match="--phrases is given without --masks"):
        colorize(small_checkpoint, photos, tmp_path / "none", "--phrases", str(phrases))


def test_pictures_of_other_settings_are_not_mixed_in(
    small_checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    colorize(small_checkpoint, photos, tmp_path / "out", "--first")
    assert {file.name for file in (tmp_path / "out").rglob("*.png")} == {"a.png", "1.png"}
    for change in (["--first", "--cfg", "4.5"], []):
        with pytest.raises(SystemExit, match="other settings"):
            colorize(small_checkpoint, photos, tmp_path / "out", *change)
    (tmp_path / "out" / "settings.json").write_text("")
    with pytest.raises(SystemExit, match="cannot be read"):
        colorize(small_checkpoint, photos, tmp_path / "out", "--first")
    (tmp_path / "out" / "settings.json").unlink()
    with pytest.raises(SystemExit, match=r"no settings\.json"):
        colorize(small_checkpoint, photos, tmp_path / "out", "--first")


def test_what_is_made_finds_its_photograph_and_its_description_again(
    small_checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (60, 40)).save(photos / "a_2.jpg")  # a name that a result of a.jpg would have
    out = tmp_path / "out"
    colorize(small_checkpoint, photos, out)
    requests, _ = match(Files([out], photos, photos.parent / "captions.json"))
    found = {
        (r.truth.relative_to(photos).as_posix(), r.text, r.results["out"].name) for r in requests
    }
    assert found == {
        ("a.jpg", "a red cup", "a_0.png"),
        ("a.jpg", "a blue cup", "a.jpg_2.png"),
        ("vg/1.jpg", "a hat", "1_0.png"),
    }


def test_true_colors_are_the_truth_where_they_are_compared_at_the_size_they_are_made_at(
    photos: Path, tmp_path: Path
) -> None:
    captions, out = tmp_path / "captions.json", tmp_path / "out"
    captions.write_text(json.dumps({"a.jpg": "a cup", "vg/1.jpg": "a hat"}), encoding="utf-8")
    wanted = list_wanted(photos, out, captions)
    how = Published("", "", 64, 2, 7.0, "decoder", 0, False, "", 3.0, "reference", "sum")
    perfect: Any = SimpleNamespace(
        read=lambda image: image,
        sample_as_published=lambda colors, *_: colors,
        decode=lambda colors, *_: colors,
    )
    write_results(perfect, wanted, out, how)
    comparison = compare(Files([out], photos), Backbones(None, None, None, ()), 64)
    assert f"Of out, 2 are {SAME}: a_0, vg/1_0." in comparison.notes


def test_a_photograph_is_colorized_by_what_it_is_compared_by(tmp_path: Path) -> None:
    photos, captions, out = tmp_path / "photos", tmp_path / "captions.json", tmp_path / "out"
    for name in ("a.jpg", "a_1.jpg", "x/1.jpg", "y/1.jpg"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).touch()
    said = {
        **{"a.png_1": "of another type", "a_1.jpg": "named as a result would be"},
        **{"1.jpg": "which of the two?", "y/1.jpg": "in y"},
    }
    captions.write_text(json.dumps(said), encoding="utf-8")
    wanted = list_wanted(photos, out, captions)
    described = {(w.photo.relative_to(photos).as_posix(), w.text) for w in wanted}
    assert described == {
        ("a.jpg", "of another type"),
        ("a_1.jpg", "named as a result would be"),
        ("y/1.jpg", "in y"),
    }
    for picture in wanted:
        (out / picture.name).parent.mkdir(parents=True, exist_ok=True)
        (out / picture.name).touch()
    requests, _ = match(Files([out], photos, captions))
    assert {(r.truth.relative_to(photos).as_posix(), r.text) for r in requests} == described


def test_captions_of_other_photographs_are_refused(
    small_checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    for file in photos.rglob("*.jpg"):
        file.rename(file.with_name(f"other-{file.name}"))
    with pytest.raises(SystemExit, match="describes none of the 3 photographs"):
        colorize(small_checkpoint, photos, tmp_path / "out")


def test_the_sampler_is_the_published_one(small_checkpoint: Path) -> None:
    colorizer = Colorizer.load(small_checkpoint, resolution=0, steps=3, cfg=4.5)
    luminance = colorizer.read(torch.rand(1, 3, 64, 64, generator=torch.manual_seed(0)))
    sampled = colorizer.sample_as_published(luminance, "a red cup", [], guide(), seed=5)
    model, clip = colorizer.checkpoint.model, colorizer.checkpoint.clip
    prompts = [
        add_luminance(nodes.CLIPTextEncode().encode(clip, text)[0], luminance)
        for text in ("a red cup", "")
    ]
    sigmas, sampler = ReferenceSchedule.execute(model, 3).args
    start = empty_latent(luminance)
    positive, negative = prompts
    expected = SamplerCustom.execute(
        model, True, 5, 4.5, positive, negative, sampler, sigmas, start
    )
    assert torch.equal(sampled, expected.args[0]["samples"])


def test_parentheses_are_words_and_no_weights(small_checkpoint: Path) -> None:
    colorizer = Colorizer.load(small_checkpoint, resolution=0, steps=2, cfg=4.5)
    luminance = colorizer.read(torch.rand(1, 3, 64, 64, generator=torch.manual_seed(0)))
    text, named = "a cup (left)", [("cup (left)", torch.ones(64, 64))]
    found = [
        colorizer.sample_as_published(luminance, text, some, guide(0.0), seed=5)
        for some in ([], named)
    ]
    clip = colorizer.checkpoint.clip
    assert clip is not None
    plain = clip.encode_from_tokens_scheduled(clip.tokenize(text, disable_weights=True))
    negative = nodes.CLIPTextEncode().encode(clip, "")[0]
    positive, negative = (add_luminance(p, luminance) for p in (plain, negative))
    sigmas, sampler = ReferenceSchedule.execute(colorizer.checkpoint.model, 2).args
    start = empty_latent(luminance)
    expected = SamplerCustom.execute(
        colorizer.checkpoint.model, True, 5, 4.5, positive, negative, sampler, sigmas, start
    ).args[0]["samples"]
    assert torch.equal(found[0], expected)
    assert (found[1] - expected).abs().max() < 1e-4 * expected.abs().max()


def test_guidance_with_the_published_sampler_is_the_nodes_own(small_checkpoint: Path) -> None:
    colorizer = Colorizer.load(small_checkpoint, resolution=0, steps=3, cfg=4.5)
    luminance = colorizer.read(torch.rand(1, 3, 64, 64, generator=torch.manual_seed(0)))
    mask = torch.zeros(64, 64)
    mask[:, :32] = 1
    named = [("a red", mask), ("cup", 1 - mask)]
    guiding = guide(5.0, mode="reference")
    sampled = colorizer.sample_as_published(luminance, "a red cup", named, guiding, seed=5)
    model, clip = colorizer.checkpoint.model, colorizer.checkpoint.clip
    assert clip is not None
    positive, instances = InstancesNode.execute(
        clip, "a red cup", "a red\ncup", mask_1=mask[None], mask_2=1 - mask[None]
    ).args
    guided = GuideAttention.execute(model, instances, 5.0, 0.0, 1.0, "reference", "sum").args[0]
    negative = nodes.CLIPTextEncode().encode(clip, "")[0]
    positive, negative = (add_luminance(p, luminance) for p in (positive, negative))
    sigmas, sampler = ReferenceSchedule.execute(guided, 3).args
    start = empty_latent(luminance)
    expected = SamplerCustom.execute(
        guided, True, 5, 4.5, positive, negative, sampler, sigmas, start
    )
    assert torch.equal(sampled, expected.args[0]["samples"])
