"""Both stages one after the other, from a Stable Diffusion file, as the paper trains them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import COMFYUI
from golden_weights import Golden, text_encoder_state_dict
from safetensors.torch import load_file

from lcad_nodes.host.loading import load_checkpoint
from lcad_nodes.model.checkpoint import StateDict, join, split
from lcad_nodes.training import compression, diffusion
from lcad_nodes.training.config import CompressionConfig, DataConfig, DiffusionConfig, FitConfig

FIRST = "model.diffusion_model.input_blocks.0.0.weight"
"""The UNet's first convolution."""


@pytest.fixture
def stable_diffusion(golden: Golden) -> StateDict:
    """Stable Diffusion's tensors, small."""
    parts = split(load_file(golden.checkpoint))
    first = FIRST.removeprefix("model.diffusion_model.")
    unet = {**parts.unet, first: parts.unet[first][:, :4].clone()}
    text = split(text_encoder_state_dict(0, 64, 1)).text
    return join(replace(parts, unet=unet, encoder={}, text=text))


@pytest.mark.slow
def test_what_is_frozen_is_in_the_end_what_it_was_bit_for_bit(
    stable_diffusion: StateDict, stamps: Path, tmp_path: Path
) -> None:
    torch.save({"state_dict": stable_diffusion}, tmp_path / "sd.ckpt")
    data = DataConfig((str(stamps),), size=32, workers=0)
    fit = FitConfig(str(tmp_path), steps=3, batch=2, learning_rate=1e-2, warmup=1, log_every=1)
    first = compression.train(
        CompressionConfig(
            data, fit, str(tmp_path / "sd.ckpt"), train="published", adversarial_start=1
        )
    )
    tokenizer = str(COMFYUI / "comfy" / "sd1_tokenizer")
    second = diffusion.train(DiffusionConfig(data, fit, str(first), tokenizer, train="published"))
    begun, middle, ended = stable_diffusion, load_file(first), load_file(second)
    assert all(torch.equal(middle[name], begun[name]) for name in begun)
    assert any(middle[name].any() for name in middle if "zero_conv" in name)
    assert torch.equal(ended[FIRST][:, :4], begun[FIRST])
    assert ended[FIRST][:, 4:].any()
    trained = {name for name in ended if ".output_blocks." in name} | {FIRST}
    changed = {name for name in middle if not torch.equal(ended[name], middle[name])}
    assert changed <= trained
    assert len(changed) > 0.9 * len(trained)
    assert load_checkpoint(str(second)).clip is not None
