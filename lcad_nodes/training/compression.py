"""Stage 1: the luminance-guided autoencoder (paper section 3.1)."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from safetensors.torch import load_file
from torch import Tensor, nn

from ..color.artifact import artifact_map
from ..color.lab import lightness
from ..model import checkpoint
from ..model.checkpoint import CheckpointParts, StateDict
from ..model.decoding import add_luminance
from ..model.luminance import (
    LuminanceEncoder,
    LuminanceEncoderConfig,
    network_input,
)
from .config import CompressionConfig
from .data import Batch, scene_batches
from .loop import Figures, Fit, save_checkpoint
from .networks import SCALE_FACTOR, build_vae, load_vae
from .start import start_with_block_means


class Compression(nn.Module):
    """Autoencoder and luminance encoder, trained together from nothing."""

    def __init__(self, config: CompressionConfig) -> None:
        super().__init__()
        self.config = config
        self.vae = build_vae(config.vae)
        self.encoder = LuminanceEncoder(LuminanceEncoderConfig(config.luminance_widths))
        start_with_block_means(self.vae, self.encoder)

    def forward(self, batch: Batch) -> tuple[Tensor, Figures]:
        """Compute L_pix = L_rec + KL (equation 2 without the adversarial and perceptual terms)."""
        image = 2 * batch.images - 1
        features = self.encoder(network_input(lightness(batch.images)))
        posterior = self.vae.encode(image).latent_dist  # pyright: ignore
        with add_luminance(self.vae.decoder, features):
            decoded = self.vae.decode(posterior.sample()).sample  # pyright: ignore
        residual = (image - decoded.float()).abs()
        weighted = (artifact_map(image, decoded.float()) * residual).mean()
        plain = residual.mean()
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        config = self.config
        loss = config.artifact_weight * weighted + config.plain_weight * plain
        mse = (residual.detach() / 2).square().mean()
        figures = {
            "artifact": weighted.detach(),
            "plain": plain.detach(),
            "kl": kl.detach(),
            "psnr": -10 * mse.log10(),
        }
        return loss + config.kl_weight * kl, figures

    def checkpoint(self) -> StateDict:
        """Return the tensors of both networks in the checkpoint's layout."""
        vae = checkpoint.vae_from_diffusers(self.vae.state_dict())
        return checkpoint.join(CheckpointParts({}, vae, self.encoder.state_dict(), {}))


@torch.no_grad()
def standardize_latents(vae: AutoencoderKL, batches: Iterator[Batch], count: int) -> None:
    """Give the scaled latents zero mean and unit variance, channel by channel, exactly.

    The 1x1 convolutions around the latent take the inverse of each other, so decodings stay as
    they are. Diffusion from nothing then meets the noise schedule that it is meant for.

    Args:
        vae: the autoencoder, changed in place.
        batches: pictures to measure on.
        count: number of batches to measure on.
    """
    means = torch.cat(
        [
            vae.encode(2 * batch.images - 1).latent_dist.mean  # pyright: ignore
            for batch in islice(batches, count)
        ]
    )
    std, mean = torch.std_mean(means, dim=(0, 2, 3))
    scale = std * SCALE_FACTOR  # old = new * scale + mean
    before, after = vae.quant_conv, vae.post_quant_conv
    channels = len(scale)
    before.bias[:channels] = (before.bias[:channels] - mean) / scale  # pyright: ignore
    before.weight[:channels] /= scale[:, None, None, None]  # pyright: ignore
    before.bias[channels:] -= 2 * scale.log()  # pyright: ignore
    after.bias += after.weight[:, :, 0, 0] @ mean  # pyright: ignore
    after.weight *= scale[None, :, None, None]  # pyright: ignore


def standardize_checkpoint(path: Path, config: CompressionConfig, accelerator: Accelerator) -> None:
    """Standardize the latents of a finished stage 1 checkpoint, in place."""
    parts = checkpoint.split(load_file(path))
    vae = load_vae(parts.vae)
    batches = scene_batches(config.data, 8, accelerator, 0)
    standardize_latents(vae, batches, 32)
    tensors = checkpoint.vae_from_diffusers(vae.state_dict())
    save_checkpoint(checkpoint.join(replace(parts, vae=tensors)), path)


def train(config: CompressionConfig) -> Path:
    """Train stage 1, standardize its latents, and return the checkpoint's path."""
    stage = Compression(config)
    fit = Fit(stage, config.fit, "compression")
    path = fit.run(
        lambda first: scene_batches(config.data, config.fit.batch, fit.accelerator, first)
    )
    if fit.accelerator.is_main_process:
        standardize_checkpoint(path, config, fit.accelerator)
    return path
