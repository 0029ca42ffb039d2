"""Previews in the colors of the VAE that wrote the latent."""

import logging
from pathlib import Path

import comfy.sd
import pytest
import torch
from comfy.cli_args import LatentPreviewMethod, args
from latent_preview import Latent2RGBPreviewer
from torchvision.transforms.functional import pil_to_tensor

import lcad_nodes
from lcad_nodes.host.loading import Checkpoint, load_checkpoint
from lcad_nodes.host.preview import FittedLatent, previewer_of

SHIPPED = Path(lcad_nodes.__path__[0]) / "weights" / "lcad-mini.safetensors"


@pytest.fixture(scope="module")
def loaded() -> Checkpoint:
    return load_checkpoint(str(SHIPPED))


@pytest.fixture(scope="module")
def vae(loaded: Checkpoint) -> comfy.sd.VAE:
    assert loaded.vae is not None
    return loaded.vae


@pytest.mark.parametrize("channel", [0, 1, 2])
@torch.inference_mode()
def test_a_red_green_or_blue_picture_is_shown_so(vae: comfy.sd.VAE, channel: int) -> None:
    """Through the host's own previewer, with what is fitted to the VAE."""
    picture = torch.full((1, 64, 64, 3), 0.2)
    picture[..., channel] = 0.8
    fitted = FittedLatent(vae)
    latent = fitted.process_in(vae.encode(picture))
    previewer = Latent2RGBPreviewer(fitted.latent_rgb_factors, fitted.latent_rgb_factors_bias)
    shown = pil_to_tensor(previewer.decode_latent_to_preview(latent)) / 255
    own, *others = shown.mean(dim=(1, 2)).roll(-channel)
    assert own > max(others) + 0.3


@pytest.mark.parametrize("method", [LatentPreviewMethod.TAESD, LatentPreviewMethod.Auto])
@torch.inference_mode()
def test_no_file_is_missed_that_no_preview_of_these_colors_needs(
    loaded: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: LatentPreviewMethod,
) -> None:
    monkeypatch.setattr(args, "preview_method", method)
    with caplog.at_level(logging.WARNING):
        assert isinstance(previewer_of(loaded.model), Latent2RGBPreviewer)
    assert not caplog.records
