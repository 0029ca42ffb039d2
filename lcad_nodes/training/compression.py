"""Stage 1: the luminance-guided autoencoder (paper section 3.1)."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from safetensors.torch import load_file
from torch import Tensor, nn

from ..color.artifact import artifact_map
from ..color.lab import gray, lightness
from ..model import checkpoint
from ..model.checkpoint import CheckpointParts, LayoutError, StateDict
from ..model.decoding import add_luminance
from ..model.luminance import (
    LuminanceEncoder,
    LuminanceEncoderConfig,
    network_input,
)
from .checkpoints import read_checkpoint, save_checkpoint
from .config import CompressionConfig
from .data.batches import Batch, batches
from .loop import Figures, Fit
from .losses import Discriminator, adaptive_weight, hinge, load_lpips
from .networks import SCALE_FACTOR, build_vae, load_vae
from .noise import draws
from .sheet import Row, first_batch
from .start import passes_block_means, start_silent, start_with_block_means

NOTHING = CheckpointParts({}, {}, {}, {})
LAST_OUTPUT = "zero_conv_mid2"
"""The luminance encoder's output that the UNet reads."""
DISCRIMINATOR_BETAS = (0.5, 0.9)
"""Adam's, as VQGAN has them."""


class Compression(nn.Module):
    """Autoencoder and luminance encoder, from a checkpoint or from nothing, and their losses."""

    def __init__(self, config: CompressionConfig, start: CheckpointParts) -> None:
        """Build the networks.

        Args:
            config: see there.
            start: the checkpoint to start from; all parts empty: from nothing.

        Raises:
            LayoutError: if the checkpoint to start from has no autoencoder.
        """
        super().__init__()
        self.config = config
        self.rest = replace(start, vae={}, encoder={})
        self.vae, self.encoder = _networks(config, start)
        if config.train != "all":
            self.vae.requires_grad_(False)
        if config.train == "decoder":
            _free_decoder(self.vae, self.encoder)
        if config.lpips_backbone != "none":
            self.lpips = load_lpips(Path(config.lpips_backbone))
        if config.adversarial_weight:
            self.discriminator = Discriminator()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return what is trained: the networks, and apart from them what judges them."""
        networks = [*self.vae.parameters(), *self.encoder.parameters()]
        groups: list[dict[str, Any]] = [{"params": [p for p in networks if p.requires_grad]}]
        if self.config.adversarial_weight:
            judge = list(self.discriminator.parameters())
            groups.append({"params": judge, "betas": DISCRIMINATOR_BETAS, "weight_decay": 0.0})
        return groups

    def forward(self, batch: Batch, step: int) -> tuple[Tensor, Figures]:
        """Compute L_pix = L_rec + α L_dis + β L_per (equation 2), KL, and the discriminator's loss.

        One loss serves both sides: the networks get no gradient from the discriminator's loss,
        and the discriminator none from theirs.
        """
        config = self.config
        image = 2 * batch.images - 1
        last = self.vae.decoder.conv_out.weight
        trained = last.requires_grad
        judged = bool(config.adversarial_weight) and step >= config.adversarial_start
        last.requires_grad_(trained or judged)  # for its gradient, which the loss is weighed by
        decoded, kl = self._decode(image, batch.images, batch.numbers)
        residual = (image - decoded).abs()
        map_ = artifact_map(image, decoded, config.artifact_window, config.artifact_power)
        figures = {"artifact": (map_ * residual).mean(), "plain": residual.mean(), "kl": kl}
        loss = config.artifact_weight * figures["artifact"] + config.plain_weight * figures["plain"]
        if config.lpips_backbone != "none":
            figures["lpips"] = self.lpips(decoded, image).mean()
            loss = loss + config.perceptual_weight * figures["lpips"]
        if config.adversarial_weight:
            loss = loss + self._adversarial(image, decoded, loss, step, figures)
        if config.train == "all":
            loss = loss + config.kl_weight * kl
        last.requires_grad_(trained)
        figures["psnr"] = -10 * (residual / 2).square().mean(dim=(1, 2, 3)).log10().mean()
        return loss, {name: figure.detach() for name, figure in figures.items()}

    def _decode(self, image: Tensor, rgb: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        features = self.encoder(network_input(lightness(rgb)))
        posterior = self.vae.encode(image).latent_dist  # pyright: ignore
        uniform, noise = draws(numbers, posterior.mean.shape, self.config.data.seed)
        level = self.config.latent_noise / SCALE_FACTOR * uniform[:, None, None, None]
        spread = posterior.std + level.to(posterior.std)
        code = posterior.mean + spread * noise.to(posterior.mean)
        with add_luminance(self.vae.decoder, features):
            decoded = self.vae.decode(code).sample  # pyright: ignore
        return decoded.float(), posterior.kl().mean() / posterior.mean[0].numel()

    def _adversarial(
        self, image: Tensor, decoded: Tensor, reconstruction: Tensor, step: int, figures: Figures
    ) -> Tensor:
        names = ("generator", "discriminator", "adaptive_weight")
        if step < self.config.adversarial_start:
            figures |= dict.fromkeys(names, torch.zeros_like(reconstruction))
            # Of no effect, but processes that train together wait for every gradient.
            return 0 * sum((p.sum() for p in self.discriminator.parameters()), torch.zeros(()))
        figures["generator"] = -self.discriminator.judge(decoded).mean()
        figures["discriminator"] = hinge(
            self.discriminator(image), self.discriminator(decoded.detach())
        )
        last = self.vae.decoder.conv_out.weight
        weight = adaptive_weight(reconstruction, figures["generator"], last, decoded.numel())
        figures["adaptive_weight"] = weight
        adversarial = self.config.adversarial_weight * weight * figures["generator"]
        return adversarial + figures["discriminator"]

    def checkpoint(self) -> StateDict:
        """Return the tensors of both networks, and what else the start had, in the layout."""
        vae = checkpoint.vae_from_diffusers(self.vae.state_dict())
        parts = replace(self.rest, vae=vae, encoder=self.encoder.state_dict())
        return checkpoint.join(parts)

    @torch.no_grad()
    def samples(self, batch: Batch) -> list[Row]:
        """Return the truth, its gray and the reconstruction of each picture."""
        decoded, _ = self._decode(2 * batch.images - 1, batch.images, batch.numbers)
        columns = (batch.images, gray(lightness(batch.images)), (decoded + 1) / 2)
        return [Row(text, row) for text, *row in zip(batch.texts, *columns, strict=True)]


def _networks(
    config: CompressionConfig, start: CheckpointParts
) -> tuple[AutoencoderKL, LuminanceEncoder]:
    if not config.start:
        vae = build_vae(config.vae)
        encoder = LuminanceEncoder(LuminanceEncoderConfig(config.vae.widths))
        if passes_block_means(config.vae.widths):
            start_with_block_means(vae, encoder)
        return vae, encoder
    if not start.vae:
        raise LayoutError(f"{config.start} has no autoencoder (first_stage_model.*) to start from")
    vae = load_vae(start.vae)
    if start.encoder:
        return vae, LuminanceEncoder.from_state_dict(start.encoder)
    widths = vae.config["block_out_channels"]
    encoder = LuminanceEncoder(LuminanceEncoderConfig(tuple(widths)))
    start_silent(encoder)
    return vae, encoder


def _free_decoder(vae: AutoencoderKL, encoder: LuminanceEncoder) -> None:
    """Train the decoder and what luminance adds to it; latents and luminance[9] stay."""
    for network in (vae.decoder, vae.post_quant_conv):
        network.requires_grad_(True)  # pyright: ignore
    encoder.requires_grad_(False)
    for name, layer in encoder.named_modules():
        if "zero_conv" in name and name != LAST_OUTPUT:
            layer.requires_grad_(True)


@torch.no_grad()
def standardize_latents(vae: AutoencoderKL, pictures: Iterator[Batch], count: int) -> None:
    """Give the scaled latents zero mean and unit variance, channel by channel, exactly.

    The 1x1 convolutions around the latent take the inverse of each other, so decodings stay as
    they are. Diffusion from nothing then meets the noise schedule that it is meant for.

    Args:
        vae: the autoencoder, changed in place.
        pictures: batches to measure on.
        count: number of batches to measure on.
    """
    means = torch.cat(
        [
            vae.encode(2 * batch.images - 1).latent_dist.mean.movedim(1, 0).flatten(1)  # pyright: ignore
            for batch in islice(pictures, count)
        ],
        dim=1,
    )
    std, mean = torch.std_mean(means, dim=1)
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
    # Copied: Windows replaces no file that is still mapped.
    parts = checkpoint.split({name: tensor.clone() for name, tensor in load_file(path).items()})
    vae = load_vae(parts.vae).to(accelerator.device)
    standardize_latents(vae, batches(config.data, 8, accelerator, 0), 32)
    tensors = checkpoint.vae_from_diffusers(vae.state_dict())
    save_checkpoint(checkpoint.join(replace(parts, vae=tensors)), path, config.data.size)


def train(config: CompressionConfig) -> Path:
    """Train stage 1 and return the checkpoint's path.

    The latents of an autoencoder from nothing are standardized at the end; one that came with a
    UNet keeps those that the UNet knows.

    Raises:
        LayoutError: if the start has no autoencoder.
        ConfigError: if LPIPS's backbone is not VGG 16's weights, or a path of the data is missing.
        TrainingError: if the loss is no longer a number.
    """
    config.data.require_paths()
    set_seed(config.data.seed)
    # Kept in no variable of its own: the networks have copied what they need.
    stage = Compression(config, read_checkpoint(Path(config.start)) if config.start else NOTHING)
    fit = Fit(stage, config.fit, "compression", config.data.size)
    pictures = partial(batches, config.data, config.fit.batch, fit.accelerator)
    shown = cache(partial(first_batch, config.data, fit.accelerator))
    path = fit.run(pictures, lambda: stage.samples(shown()))
    if fit.accelerator.is_main_process and not config.start:
        standardize_checkpoint(path, config, fit.accelerator)
    return path
