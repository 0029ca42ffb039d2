"""Stage 2: it learns, goes on exactly where it stopped, and the host loads what it writes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import COMFYUI
from golden_weights import Golden
from safetensors.torch import load_file, save_file

from lcad_nodes.host.loading import load_checkpoint
from lcad_nodes.model.checkpoint import LayoutError, split
from lcad_nodes.training.config import DataConfig, DiffusionConfig, FitConfig
from lcad_nodes.training.diffusion import Diffusion, EncodedBatch, train
from lcad_nodes.training.networks import TextConfig, UNetConfig


@pytest.fixture
def config(golden: Golden, stamps: Path, tmp_path: Path) -> DiffusionConfig:
    return DiffusionConfig(
        data=DataConfig(str(stamps), size=64, workers=0),
        fit=FitConfig(
            str(tmp_path / "run"), steps=6, batch=2, learning_rate=1e-3, warmup=1, log_every=1
        ),
        start=str(golden.checkpoint),
        tokenizer=str(COMFYUI / "comfy" / "sd1_tokenizer"),
        pool=4,
        fresh=1,
    )


@pytest.fixture
def from_nothing(config: DiffusionConfig, golden: Golden, tmp_path: Path) -> DiffusionConfig:
    """Stage 1's networks alone to start from, and small widths."""
    first_stage = {k: v for k, v in load_file(golden.checkpoint).items() if "first_stage" in k}
    save_file(first_stage, tmp_path / "first.safetensors")
    return replace(
        config,
        start=str(tmp_path / "first.safetensors"),
        unet=UNetConfig((32, 64), 1, (False, True), 64, 128),
        text=TextConfig(64, 1),
    )


@pytest.mark.slow
def test_the_host_loads_what_stage_two_writes(from_nothing: DiffusionConfig) -> None:
    path = train(from_nothing)
    loaded = load_checkpoint(str(path))
    assert loaded.clip is not None
    context: Any = loaded.clip.encode_from_tokens(loaded.clip.tokenize("a red ball"))
    assert context.shape == (1, 77, 64)


@pytest.mark.slow
def test_frozen_networks_stay_as_they_are(from_nothing: DiffusionConfig) -> None:
    before = load_file(from_nothing.start)
    after = load_file(train(from_nothing))
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.slow
def test_training_goes_on_as_if_it_had_not_stopped(from_nothing: DiffusionConfig) -> None:
    torch.manual_seed(0)
    whole = train(from_nothing)
    torch.manual_seed(0)
    other = replace(from_nothing.fit, directory=from_nothing.fit.directory + "-2")
    train(replace(from_nothing, fit=replace(other, steps=3)))
    torch.manual_seed(1)  # whatever the process has drawn meanwhile
    resumed = train(replace(from_nothing, fit=other))
    a, b = load_file(whole), load_file(resumed)
    assert all(torch.allclose(a[name], b[name], atol=1e-6) for name in a)


@torch.no_grad()
def test_the_published_loss_is_unweighted_and_more_weight_goes_to_more_noise(
    from_nothing: DiffusionConfig,
) -> None:
    parts = split(load_file(from_nothing.start))
    batch = EncodedBatch(
        torch.randn(4, 4, 8, 8),
        torch.randn(4, 128, 8, 8),
        torch.zeros(4, 77, dtype=torch.long),
        torch.arange(4),
    )
    loss, figures = Diffusion(from_nothing, parts)(batch, 0)
    assert loss == figures["unweighted"]
    loss, figures = Diffusion(replace(from_nothing, largest_weight=30.0), parts)(batch, 0)
    assert figures["unweighted"] < loss < 30 * figures["unweighted"]


def test_a_checkpoint_without_an_autoencoder_is_refused(
    config: DiffusionConfig, golden: Golden, tmp_path: Path
) -> None:
    unet = {k: v for k, v in load_file(golden.checkpoint).items() if "diffusion_model" in k}
    assert not split(unet).vae
    save_file(unet, tmp_path / "unet.safetensors")
    with pytest.raises(LayoutError, match="stage 1"):
        train(replace(config, start=str(tmp_path / "unet.safetensors")))
