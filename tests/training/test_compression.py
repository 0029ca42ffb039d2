"""Stage 1: it starts well, it learns, and its latents end up standardized."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lcad_nodes.evaluation.scenes import SceneBuilder
from lcad_nodes.model.checkpoint import split
from lcad_nodes.training.compression import Compression, standardize_latents, train
from lcad_nodes.training.config import CompressionConfig, DataConfig, FitConfig
from lcad_nodes.training.data import Batch
from lcad_nodes.training.networks import SCALE_FACTOR, VAEConfig, build_vae, load_vae
from lcad_nodes.training.start import start_with_block_means


@pytest.fixture
def config(stamps: Path, tmp_path: Path) -> CompressionConfig:
    return CompressionConfig(
        data=DataConfig(str(stamps), size=32, workers=0),
        fit=FitConfig(str(tmp_path / "run"), steps=4, batch=2, learning_rate=1e-3, log_every=1),
        vae=VAEConfig((96, 96, 96, 96), 1),
        luminance_widths=(96, 96, 96, 96),
        plain_weight=1.0,
    )


@torch.no_grad()
def test_an_autoencoder_from_nothing_passes_the_color_of_every_block(
    config: CompressionConfig,
) -> None:
    colors = torch.rand(2, 3, 4, 4)
    image = colors.repeat_interleave(8, 2).repeat_interleave(8, 3)
    _, figures = Compression(config)(Batch(image, ["", ""]))
    assert figures["psnr"] > 24


def test_a_start_from_nothing_needs_room_for_references(config: CompressionConfig) -> None:
    stage = Compression(config)
    with pytest.raises(ValueError, match="at least 96"):
        start_with_block_means(build_vae(VAEConfig((64, 64), 1)), stage.encoder)


@torch.no_grad()
def test_standardized_latents_have_unit_variance_and_decode_as_before(
    config: CompressionConfig, stamps: Path
) -> None:
    vae = Compression(config).vae
    builder = SceneBuilder(stamps, [], 32, "train")
    images = torch.stack([builder.build(seed).image for seed in range(8)])
    code = vae.encode(2 * images - 1).latent_dist.mean  # pyright: ignore
    before = vae.decode(code).sample  # pyright: ignore
    standardize_latents(vae, iter([Batch(images, [""] * 8)]), 1)
    code = vae.encode(2 * images - 1).latent_dist.mean  # pyright: ignore
    after = vae.decode(code).sample  # pyright: ignore
    std, mean = torch.std_mean(code * SCALE_FACTOR, dim=(0, 2, 3))
    assert torch.allclose(std, torch.ones(4), atol=1e-3)
    assert torch.allclose(mean, torch.zeros(4), atol=1e-3)
    assert torch.allclose(after, before, atol=1e-3)


@pytest.mark.slow
def test_training_writes_a_checkpoint_and_goes_on_from_its_state(
    config: CompressionConfig,
) -> None:
    path = train(config)
    parts = split(load_file(path))
    assert load_vae(parts.vae).config["block_out_channels"] == (96, 96, 96, 96)
    assert parts.encoder
    train(replace(config, fit=replace(config.fit, steps=6)))
    log = (path.parent / "compression.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in log] == ["step", "1", "2", "3", "4", "5", "6"]
