"""Stage 1: it starts well, it learns, and its latents end up standardized."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lcad_nodes.evaluation.scenes import SceneBuilder
from lcad_nodes.model.checkpoint import split
from lcad_nodes.training.compression import NOTHING, Compression, standardize_latents, train
from lcad_nodes.training.config import CompressionConfig, DataConfig, FitConfig
from lcad_nodes.training.data.batches import Batch
from lcad_nodes.training.networks import SCALE_FACTOR, VAEConfig, load_vae


@pytest.fixture
def config(stamps: Path, tmp_path: Path) -> CompressionConfig:
    return CompressionConfig(
        data=DataConfig(str(stamps), size=32, workers=0),
        fit=FitConfig(str(tmp_path / "run"), steps=4, batch=2, learning_rate=1e-3, log_every=1),
        vae=VAEConfig((96, 96, 96, 96), 1),
        adversarial_weight=0.0,
        plain_weight=1.0,
    )


@torch.no_grad()
def test_an_autoencoder_from_nothing_passes_the_color_of_every_block(
    config: CompressionConfig,
) -> None:
    colors = torch.rand(2, 3, 4, 4)
    image = colors.repeat_interleave(8, 2).repeat_interleave(8, 3)
    _, figures = Compression(config, NOTHING)(Batch(image, ["", ""], torch.arange(2)), 0)
    assert figures["psnr"] > 24


@torch.no_grad()
def test_an_autoencoder_of_any_width_starts_from_nothing(config: CompressionConfig) -> None:
    uneven = replace(config, vae=VAEConfig((32, 64), 1))
    loss, _ = Compression(uneven, NOTHING)(
        Batch(torch.rand(1, 3, 32, 32), [""], torch.arange(1)), 0
    )
    assert loss.isfinite()


@torch.no_grad()
def test_standardized_latents_have_unit_variance_and_decode_as_before(
    config: CompressionConfig, stamps: Path
) -> None:
    vae = Compression(config, NOTHING).vae
    builder = SceneBuilder(stamps, [], 32, "train")
    images = torch.stack([builder.build(seed).image for seed in range(8)])
    code = vae.encode(2 * images - 1).latent_dist.mean  # pyright: ignore
    before = vae.decode(code).sample  # pyright: ignore
    standardize_latents(vae, iter([Batch(images, [""] * 8, torch.arange(8))]), 1)
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
