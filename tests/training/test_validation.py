"""The error on held-out pictures: the same pictures and noise for every checkpoint."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import COMFYUI
from golden_weights import Golden, text_encoder_state_dict
from PIL import Image
from safetensors.torch import load_file, save_file

from lcad_nodes.model.checkpoint import LayoutError, join, split
from lcad_nodes.scenes.builder import SceneBuilder
from lcad_nodes.training import validation
from lcad_nodes.training.config import ConfigError, DataConfig, DiffusionConfig, FitConfig
from lcad_nodes.training.data.batches import Batch
from lcad_nodes.training.validation import validate


@pytest.fixture
def complete(golden: Golden, tmp_path: Path) -> Path:
    """A checkpoint with a text encoder."""
    parts = split(load_file(golden.checkpoint))
    text = split(text_encoder_state_dict(0, 64, 1)).text
    save_file(join(replace(parts, text=text)), tmp_path / "complete.safetensors")
    return tmp_path / "complete.safetensors"


@pytest.fixture
def config(complete: Path, stamps: Path, tmp_path: Path) -> DiffusionConfig:
    return DiffusionConfig(
        data=DataConfig((str(stamps),), size=32, workers=0),
        fit=FitConfig(str(tmp_path / "run"), steps=1, batch=2),
        start=str(complete),
        tokenizer=str(COMFYUI / "comfy" / "sd1_tokenizer"),
        guided=0.5,
        localization_weight=2.0,
    )


def _changed(path: Path, part: str) -> Path:
    """The checkpoint with other numbers in one network."""
    tensors = load_file(path)
    generator = torch.Generator().manual_seed(1)
    for name in (n for n in tensors if n.startswith(part) and tensors[n].dim() == 4):
        tensors[name] += 0.3 * torch.randn(tensors[name].shape, generator=generator)
    save_file(tensors, path.with_name("changed.safetensors"))
    return path.with_name("changed.safetensors")


def test_checkpoints_are_compared_on_the_same_pictures_and_noise(
    config: DiffusionConfig, complete: Path
) -> None:
    other = _changed(complete, "model.diffusion_model")
    first, changed, again = validate(config, [complete, other, complete], 3)
    assert first.keys() == {"error", "unweighted", "localization"}
    assert first == again
    assert changed["error"] != first["error"]


def test_another_autoencoder_encodes_the_pictures_anew(
    config: DiffusionConfig, complete: Path
) -> None:
    other = _changed(complete, "first_stage_model.encoder")
    (alone,) = validate(config, [other], 2)
    _, after = validate(config, [complete, other], 2)
    assert alone == after


def test_what_attention_learns_from_is_not_part_of_the_error(
    config: DiffusionConfig, complete: Path
) -> None:
    (with_it,) = validate(config, [complete], 16)
    (more,) = validate(replace(config, localization_weight=5.0), [complete], 16)
    assert more["localization"] > 0
    assert more["error"] == pytest.approx(with_it["error"], rel=1e-5)


def test_scenes_are_made_of_what_is_held_out(
    config: DiffusionConfig, complete: Path, stamps: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    encode = validation.FrozenEncoders.__call__

    def remember(self: validation.FrozenEncoders, batch: Batch) -> object:
        seen.extend(batch.images)
        return encode(self, batch)

    monkeypatch.setattr(validation.FrozenEncoders, "__call__", remember)
    list(validate(config, [complete], 4))
    builder = SceneBuilder([stamps], [], 32, "held_out")
    expected = [builder.build(n).image for n in range(4)]
    assert len(seen) == 4
    assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))


def test_photos_are_measured_without_masks(
    config: DiffusionConfig, complete: Path, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    Image.effect_noise((40, 40), 60).convert("RGB").save(tmp_path / "photos" / "one.png")
    data = DataConfig(folder=str(tmp_path / "photos"), size=32, workers=0)
    plain = replace(config, data=data, guided=0.0, localization_weight=0.0)
    (found,) = validate(plain, [complete], 1)
    assert found.keys() == {"error", "unweighted"}
    assert found["error"] > 0


def test_half_a_checkpoint_is_named(config: DiffusionConfig, golden: Golden) -> None:
    with pytest.raises(LayoutError, match=r"needs a complete checkpoint of stage 2"):
        list(validate(config, [golden.checkpoint], 1))


def test_nothing_to_measure_is_an_error(config: DiffusionConfig, complete: Path) -> None:
    with pytest.raises(ConfigError, match="at least one"):
        list(validate(config, [complete], 0))
