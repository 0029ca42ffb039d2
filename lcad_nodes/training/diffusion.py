"""Stage 2: the UNet that denoises color latents, given text and luminance (section 3.2)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers.models.attention_processor import AttnProcessor
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTokenizer

from ..color.lab import lightness
from ..model import checkpoint
from ..model.checkpoint import CheckpointParts, LayoutError, StateDict
from ..model.luminance import LuminanceEncoder, network_input
from .config import DiffusionConfig
from .data import Batch, scene_batches
from .loop import Figures, Fit
from .networks import (
    SCALE_FACTOR,
    TOKENS,
    build_text_encoder,
    build_unet,
    conditioned_input,
    extend_first_convolution,
    load_text_encoder,
    load_unet,
    load_vae,
    text_from_transformers,
)
from .start import start_with_identity


@dataclass(frozen=True)
class EncodedBatch:
    """What the UNet learns from.

    Attributes:
        latents: Bx4xhxw, scaled.
        luminance: BxCxhxw, luminance[9].
        tokens: Bx77 token numbers.
    """

    latents: Tensor
    luminance: Tensor
    tokens: Tensor


class FrozenEncoders:
    """Stage 1's networks and the tokenizer: pictures and texts in, what the UNet needs out."""

    def __init__(self, parts: CheckpointParts, tokenizer: Path, accelerator: Accelerator) -> None:
        if not parts.vae or not parts.encoder:
            raise LayoutError(
                "stage 2 starts from a checkpoint with an autoencoder and a luminance encoder "
                "(first_stage_model.*), as stage 1 writes it"
            )
        self.vae = load_vae(parts.vae).requires_grad_(False)
        self.encoder = LuminanceEncoder.from_state_dict(parts.encoder).requires_grad_(False)
        for network in (self.vae, self.encoder):
            nn.Module.to(network, accelerator.device)
        self.accelerator = accelerator
        self.tokenizer = CLIPTokenizer.from_pretrained(tokenizer)

    @torch.no_grad()
    def __call__(self, batch: Batch) -> EncodedBatch:
        """Encode a batch; the latent is the posterior's mean."""
        with self.accelerator.autocast():
            luminance = self.encoder(network_input(lightness(batch.images)))[-1].float()
            posterior = self.vae.encode(2 * batch.images - 1).latent_dist  # pyright: ignore
        tokens = self.tokenizer(
            batch.texts,
            padding="max_length",
            truncation=True,
            max_length=TOKENS,
            return_tensors="pt",
        )["input_ids"]
        latents = posterior.mean.float() * SCALE_FACTOR
        return EncodedBatch(latents, luminance, tokens.to(latents.device))  # pyright: ignore


class Diffusion(nn.Module):
    """UNet and text encoder, trained together; from a checkpoint or from nothing."""

    def __init__(self, config: DiffusionConfig, parts: CheckpointParts) -> None:
        super().__init__()
        if parts.unet:
            self.unet = load_unet(parts.unet)
        else:
            self.unet = build_unet(config.unet)
            start_with_identity(self.unet)
        if self.unet.conv_in.in_channels == 4:
            extend_first_convolution(self.unet, config.unet.gray_channels)
        # Explicit attention: on a CPU a step takes about a third less than with the fused one.
        self.unet.set_attn_processor(AttnProcessor())
        self.text = load_text_encoder(parts.text) if parts.text else build_text_encoder(config.text)
        self.schedule = DDPMScheduler(
            num_train_timesteps=1000,
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
        )
        self.frozen = parts
        self.largest_weight = config.largest_weight
        self.noise_bias = config.noise_bias

    def forward(self, batch: EncodedBatch) -> tuple[Tensor, Figures]:
        """Compute L_lat, the error of the predicted noise (equation 5), weighted by noise level."""
        noise = torch.randn_like(batch.latents)
        uniform = torch.rand(len(noise), device=noise.device)
        t = (1000 * uniform ** (1 / self.noise_bias)).long().clamp(max=999)
        noisy = self.schedule.add_noise(batch.latents, noise, t)  # pyright: ignore
        context = self.text(batch.tokens).last_hidden_state
        predicted = self.unet(conditioned_input(noisy, batch.luminance), t, context).sample
        errors = (predicted.float() - noise).square().mean(dim=(1, 2, 3))
        alphas: Tensor = self.schedule.alphas_cumprod.to(t.device)[t]
        weights = ((1 - alphas) / alphas).clamp(1, self.largest_weight)
        return (weights * errors).mean(), {"unweighted": errors.detach().mean()}

    def checkpoint(self) -> StateDict:
        """Return the tensors of all networks in the checkpoint's layout."""
        return checkpoint.join(
            CheckpointParts(
                checkpoint.unet_from_diffusers(self.unet.state_dict()),
                self.frozen.vae,
                self.frozen.encoder,
                text_from_transformers(self.text.state_dict()),
            )
        )


class Pool:
    """A sliding window of encoded scenes, each used several times with other noise.

    Encoding and drawing scenes costs a CPU more than the UNet's step does. The window and the
    draws from it are functions of the step, so training can go on from any step.
    """

    def __init__(self, config: DiffusionConfig, encode: FrozenEncoders) -> None:
        self.config, self.encode, self.accelerator = config, encode, encode.accelerator

    def batches(self, first: int) -> Iterator[EncodedBatch]:
        """Yield batches from step `first` on; fills the window before the first."""
        config = self.config
        fresh = config.fresh if config.pool else config.fit.batch
        kept = max(config.pool // fresh, 1)
        source = scene_batches(config.data, fresh, self.accelerator, first)
        window: list[EncodedBatch] = []
        step = first
        for scenes in source:
            window = (
                [*window[-kept + 1 :], self.encode(scenes)] if kept > 1 else [self.encode(scenes)]
            )
            if len(window) < kept:
                continue
            yield self._draw(window, step) if config.pool else window[0]
            step += 1

    def _draw(self, window: list[EncodedBatch], step: int) -> EncodedBatch:
        generator = torch.Generator().manual_seed(
            (self.config.data.seed * 1_000_003 + step) * self.accelerator.num_processes
            + self.accelerator.process_index
        )
        size = len(window[0].latents)
        chosen = torch.randint(len(window) * size, (self.config.fit.batch,), generator=generator)
        places = [(int(n) // size, int(n) % size) for n in chosen]
        return EncodedBatch(
            torch.stack([window[a].latents[b] for a, b in places]),
            torch.stack([window[a].luminance[b] for a, b in places]),
            torch.stack([window[a].tokens[b] for a, b in places]),
        )


def train(config: DiffusionConfig) -> Path:
    """Train stage 2 and return the path of the complete checkpoint."""
    parts = checkpoint.split(load_file(config.start))
    fit = Fit(Diffusion(config, parts), config.fit, "diffusion")
    encode = FrozenEncoders(parts, Path(config.tokenizer), fit.accelerator)
    return fit.run(Pool(config, encode).batches)
