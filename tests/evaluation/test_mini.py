"""The targets, measured through the real host on a small network of random numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lcad_nodes.evaluation import ablations, mini
from lcad_nodes.evaluation.__main__ import main
from lcad_nodes.evaluation.ablations import (
    CHANGE,
    COLUMNS,
    VARIATIONS,
    Variation,
    measure,
    write,
)
from lcad_nodes.evaluation.bootstrap import Estimate
from lcad_nodes.evaluation.colorizer import Colorizer, guide, unguided, without_luminance
from lcad_nodes.evaluation.mini import INF, ROWS, Row
from lcad_nodes.evaluation.scoring import told_in_order
from lcad_nodes.host.instances import Instances
from lcad_nodes.scenes.builder import SceneBuilder


@pytest.fixture(scope="module")
def colorizer(small_checkpoint: Path) -> Colorizer:
    return Colorizer.load(small_checkpoint, resolution=64, steps=2, cfg=3.0)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))


TEXTS = ["a red cup", "a blue hat"]


def test_every_picture_of_a_batch_has_its_own_description(
    colorizer: Colorizer, images: Tensor
) -> None:
    both = colorizer.sample(colorizer.read(images), TEXTS, seed=3)
    swapped = colorizer.sample(colorizer.read(images), TEXTS[::-1], seed=3)
    alone = colorizer.sample(colorizer.read(images[:1]), TEXTS[:1], seed=3)
    scale = both.abs().max()
    assert (both[:1] - alone).abs().max() < 1e-5 * scale
    assert (both - swapped).abs().amax(dim=(1, 2, 3)).min() > 0.01 * scale


def test_guidance_of_strength_zero_is_none_and_of_strength_three_is_some(
    colorizer: Colorizer, images: Tensor
) -> None:
    luminance = colorizer.read(images[:1])
    mask = torch.zeros(128, 128)
    mask[:, :64] = 1
    plain = colorizer.sample(luminance, TEXTS[:1], seed=3)
    guided = [
        colorizer.sample_guided(luminance, TEXTS[:1], [[("a red cup", mask)]], guide(s), seed=3)
        for s in (0.0, 3.0)
    ]
    scale = plain.abs().max()
    assert (guided[0] - plain).abs().max() < 1e-4 * scale
    assert (guided[1] - plain).abs().max() > 0.001 * scale


def test_own_lightness_is_compared_at_the_working_size(
    colorizer: Colorizer, images: Tensor
) -> None:
    luminance = colorizer.read(images)
    latents = colorizer.sample(luminance, TEXTS, seed=0)
    own, photo = colorizer.own_lightness(latents, luminance)
    assert own.shape == photo.shape == (2, 1, 64, 64)
    assert photo.mean() == pytest.approx(float(luminance.lightness.mean()), abs=1)
    assert (own - photo).abs().mean() > 1  # the network is untrained


def test_without_luminance_the_decoder_gives_another_picture(
    colorizer: Colorizer, images: Tensor
) -> None:
    assert all(not f.any() for f in without_luminance(colorizer.read(images)).features)
    with_it, without = (colorizer.reconstruct(images, reads) for reads in (True, False))
    assert with_it.shape == images.shape
    assert (with_it - without).abs().max() > 1e-3


@pytest.mark.slow
def test_every_row_is_measured_and_written(
    colorizer: Colorizer, stamps: Path, photos: Path, people: Path, tmp_path: Path
) -> None:
    outlined = tmp_path / "photos"
    outlined.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    for name in ("erase-gosling", "things-fish4", "things-plate", "things-screwdriver3"):
        Image.fromarray(noise).save(outlined / f"{name}.jpg")
    measurement = mini.measure(colorizer, [stamps], [photos, outlined], 2, people=[people])
    figures = {row: found.count for row, found in measurement.figures().items()}
    photographs = {"photograph", "held out", "trained on"}
    for row in ROWS:
        if row.key in photographs:
            assert figures[row] == 1, row.name  # with all of its descriptions
        elif row.key in {"misled", "unordered"}:
            assert figures.get(row, 0) == len(measurement.samples[row.key])
        else:
            assert figures[row] == 2, row.name
    assert set(measurement.samples["repeated"]) == {(1.0, 1.0)}
    table = mini.write(measurement, tmp_path / "out")
    assert table.count("\n") == len(figures) + 1
    assert (tmp_path / "out" / "mini.md").read_text(encoding="utf-8") == f"{table}\n"
    with Image.open(tmp_path / "out" / "mini.png") as sheet:
        assert sheet.width > 4 * 160
    with Image.open(tmp_path / "out" / "photographs.png") as sheet:
        assert sheet.width == 9 * 166  # the photo, and eight descriptions of it


@pytest.mark.slow
def test_scenes_told_in_another_order_are_measured_apart_too(
    colorizer: Colorizer, stamps: Path
) -> None:
    builder = SceneBuilder([stamps], [], 64, "held_out")
    drawn = [
        builder.build(n, objects=2, kinds="same", description="full", places=False)
        for n in range(12)
    ]
    in_order = next(scene for scene in drawn if told_in_order(scene))
    other = next(scene for scene in drawn if not told_in_order(scene))
    measurement = mini.Measurement(colorizer)
    measurement.masks_alone([in_order, other], 0)
    measurement.masks_alone([in_order], 1)
    found = measurement.samples
    assert len(found["masks alone"]) == 3
    assert found["misled"] == found["masks alone"][1:2]
    measurement.unplaced([other, in_order], 0)
    assert len(found["unplaced"]) == 2
    assert found["unordered"] == found["unplaced"][:1]


@pytest.mark.slow
def test_one_kind_of_rows_measured_alone_is_what_it_is_among_all(
    colorizer: Colorizer, stamps: Path, photos: Path
) -> None:
    alone = mini.measure(colorizer, [stamps], [photos], 2, ["several"])
    after = mini.measure(colorizer, [stamps], [photos], 2, ["undescribed", "several"])
    assert {row.key for row in alone.figures()} == {
        "several",
        "outside several",
        "gray outside several",
    }
    for key in ("several", "outside several"):
        assert alone.samples[key] == after.samples[key] != []


def test_a_kind_of_rows_that_does_not_exist_is_named_with_those_that_do(
    colorizer: Colorizer, stamps: Path
) -> None:
    with pytest.raises(mini.KindError, match=r"no 'held out'.*held_out"):
        mini.measure(colorizer, [stamps], [], 1, ["one", "held out"])
    with pytest.raises(mini.KindError, match="no 'people'"):
        mini.measure(colorizer, [stamps], [], 1, ["people"])


@pytest.mark.slow
def test_skin_is_measured_of_people_with_a_description_and_without(
    colorizer: Colorizer, stamps: Path, people: Path
) -> None:
    found = mini.measure(colorizer, [stamps], [], 2, ["people", "portraits"], [people])
    rows = ("people", "skin", "gray skin", "portraits", "gray portraits")
    assert {row.key: figure.count for row, figure in found.figures().items()} == dict.fromkeys(
        rows, 2
    )
    for of_gray in ("gray skin", "gray portraits"):
        assert all(error > 5 for (error,) in found.samples[of_gray])
    assert found.samples["portraits"] != found.samples["gray portraits"]


def test_nothing_to_measure_is_told(colorizer: Colorizer, stamps: Path) -> None:
    with pytest.raises(mini.KindError, match=r"outlines none of the photographs"):
        mini.measure(colorizer, [stamps], [], 1, ["held_out"])


@pytest.mark.parametrize(
    ("row", "value", "cells"),
    [
        (
            Row("a", "a", lambda m: m, (0.95, INF), unit="%"),
            0.96,
            ("96.0 %", "≥ 95.0 %", "yes"),
        ),
        (
            Row("a", "a", lambda m: m, (0.3, INF), unit="points"),
            0.89 - 0.59,  # 0.29999999999999993
            ("30.0 points", "≥ 30.0 points", "yes"),
        ),
        (Row("a", "a", lambda m: m, (0, 6)), 6.1, ("6.1", "≤ 6", "no")),
        (Row("a", "a", lambda m: m, (30, INF)), 30.5, ("30.5", "≥ 30", "yes")),
        (Row("a", "a", lambda m: m, (0.75, 1.25)), 1.3, ("1.3", "0.75 to 1.25", "no")),
        (Row("a", "a", lambda m: m, None), 1.3, ("1.3", "", "")),
    ],
)
def test_a_target_is_met_or_not(row: Row, value: float, cells: tuple[str, str, str]) -> None:
    _, shown, _, _, target, met = row.cells(Estimate(value, value, value, 200))
    assert (shown, target, met) == cells


@pytest.mark.slow
@pytest.mark.parametrize("command", ["mini", "ablations"])
def test_one_command_measures_held_out_scenes_and_prints_what_it_writes(
    command: str,
    small_checkpoint: Path,
    stamps: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    splits = []
    for module in (mini, ablations):
        build = module.SceneBuilder  # pyright: ignore[reportPrivateImportUsage]

        def remember(*of: Any, build: Any = build) -> Any:
            splits.append(of[3])
            return build(*of)

        monkeypatch.setattr(module, "SceneBuilder", remember)
    files = {"checkpoint": small_checkpoint, "stamps": stamps, "photos": photos, "out": tmp_path}
    numbers = {"scenes": 1, "steps": 1, "resolution": 64}
    main([command, *(f"--{name}={value}" for name, value in (files | numbers).items())])
    table = (tmp_path / f"{command}.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip() == table.strip()
    assert (tmp_path / f"{command}.png").exists()
    assert splits == ["held_out"]


@pytest.mark.slow
def test_ablations_of_a_model_that_has_no_second_one(
    colorizer: Colorizer, stamps: Path, tmp_path: Path
) -> None:
    variations = (
        Variation("as it is"),
        Variation("no decoder", decoder_reads=False),
        Variation("no convolution", unguided(), unet_reads=False),
        Variation("plain L1", plain_l1=True),
    )
    found = measure(colorizer, None, [stamps], [], 1, variations)
    whole, decoder, convolution, plain = (one.figures(found.ablated[0]) for one in found.ablated)
    assert plain == {}
    assert whole[CHANGE].value == 0
    difference = convolution["binding"].value - whole["binding"].value
    assert convolution[CHANGE].value == pytest.approx(difference)
    fidelity = "autoencoder's PSNR, dB"
    assert whole[fidelity] == convolution[fidelity] != decoder[fidelity]
    assert not torch.equal(found.ablated[0].pictures[0], found.ablated[2].pictures[0])
    lines = write(found, tmp_path / "out").splitlines()
    assert set(lines[5].replace("plain L1", "")) == {" ", "|"}
    assert (tmp_path / "out" / "ablations.csv").read_text(encoding="utf-8").count("\n") == 3 * len(
        COLUMNS
    ) + 1


def test_every_part_and_setting_of_the_method_has_its_variations() -> None:
    assert [v.name for v in VARIATIONS if not (v.unet_reads and v.decoder_reads)] == [
        "without luminance in the decoder",
        "without the extended convolution",
    ]
    (plain,) = [v.name for v in VARIATIONS if v.plain_l1]
    assert plain == "plain L1 instead of the artifact map"
    nothing = Instances(())
    guidance = [v.guiding(nothing) for v in VARIATIONS]
    assert {0, 1, 2, 3, 5, 8, 10} <= {g.strength for g in guidance}
    assert {(g.mode, g.reduction) for g in guidance} == {
        ("fast", "sum"),
        ("reference", "sum"),
        ("fast", "mean"),
    }
    assert any(g.start > 0 for g in guidance)
    assert any(0 < g.end < 1 for g in guidance)
    names = [v.name for v in VARIATIONS]
    assert len(set(names)) == len(names)


def test_no_guidance_is_the_hosts_own_sampling_to_the_bit(
    colorizer: Colorizer, images: Tensor
) -> None:
    luminance = colorizer.read(images[:1])
    objects = [[("a red cup", torch.ones(128, 128))]]
    over = colorizer.sample_guided(luminance, TEXTS[:1], objects, unguided(), seed=3)
    assert torch.equal(over, colorizer.sample(luminance, TEXTS[:1], seed=3))
