"""Stage 2: the UNet that denoises color latents, given text and luminance (section 3.2)."""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor, nn
from transformers import CLIPTokenizer

from ..color.lab import gray, lightness
from ..model import checkpoint
from ..model.checkpoint import CheckpointParts, LayoutError, StateDict
from ..model.decoding import add_luminance
from ..model.luminance import LuminanceEncoder, LuminanceEncoderConfig, network_input
from ..model.patch import LATENT_CHANNELS
from ..scenes.builder import SPOKEN
from .checkpoints import read_checkpoint
from .config import ConfigError, DiffusionConfig
from .data.batches import Batch, batches, draw_numbers
from .guidance import GuidedAttention, Instances, find_instances, install
from .loop import Figures, Fit
from .networks import (
    SCALE_FACTOR,
    TOKENS,
    TextConfig,
    build_text_encoder,
    build_unet,
    conditioned_input,
    extend_first_convolution,
    load_text_encoder,
    load_tokenizer,
    load_unet,
    load_vae,
    text_from_transformers,
)
from .noise import draws
from .nouns import Kinds, place_nouns
from .sampling import SCHEDULE, sample
from .sheet import Row, first_batch
from .start import passes_latents, start_with_identity

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodedBatch:
    """What the UNet learns from.

    Attributes:
        latents: Bx4xhxw, scaled.
        luminance: BxCxhxw, luminance[9].
        tokens: Bx77 token numbers.
        numbers: B, int64 on the CPU; see `Batch`.
        instances: B; what each description names, and where it is.
    """

    latents: Tensor
    luminance: Tensor
    tokens: Tensor
    numbers: Tensor
    instances: Sequence[Instances]


class FrozenEncoders:
    """Stage 1's networks and the tokenizer: pictures and texts in, what the UNet needs out."""

    def __init__(
        self, parts: CheckpointParts, tokenizer: CLIPTokenizer, accelerator: Accelerator
    ) -> None:
        self.vae = load_vae(parts.vae).requires_grad_(False)
        self.encoder = LuminanceEncoder.from_state_dict(parts.encoder).requires_grad_(False)
        for network in (self.vae, self.encoder):
            # Of a CPU's time, channels last takes a third off.
            network.to(accelerator.device)
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.accelerator, self.tokenizer = accelerator, tokenizer

    @torch.no_grad()
    def __call__(self, batch: Batch) -> EncodedBatch:
        """Encode a batch; the latent is the posterior's mean."""
        with self.accelerator.autocast():
            posterior = self.vae.encode(2 * batch.images - 1).latent_dist  # pyright: ignore
            luminance = self.encoder(network_input(lightness(batch.images)))[-1].float()
        latents = posterior.mean.float() * SCALE_FACTOR
        instances = [
            find_instances(self.tokenizer, text, objects, latents.shape[-2:]).to(latents.device)
            for text, objects in zip(batch.texts, batch.objects, strict=True)
        ]
        return EncodedBatch(latents, luminance, self.tokens(batch.texts), batch.numbers, instances)

    def tokens(self, texts: list[str]) -> Tensor:
        """Turn B texts into Bx77 token numbers."""
        tokens: Any = self.tokenizer(
            texts, padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt"
        )
        return tokens["input_ids"].to(self.accelerator.device)

    @torch.no_grad()
    def decode(self, latents: Tensor, images: Tensor) -> Tensor:
        """Decode latents with the luminance of the pictures that they are of; Bx3xHxW in [0, 1]."""
        features = self.encoder(network_input(lightness(images)))
        with add_luminance(self.vae.decoder, features):
            decoded = self.vae.decode(latents / SCALE_FACTOR).sample  # pyright: ignore
        return (decoded + 1) / 2


class Diffusion(nn.Module):
    """UNet and text encoder, trained together or in part; from a checkpoint or from nothing."""

    def __init__(self, config: DiffusionConfig, start: CheckpointParts) -> None:
        """Build the networks.

        Args:
            config: see there.
            start: the checkpoint to start from, with a luminance encoder.

        Raises:
            ConfigError: if what is to be frozen is not there.
            LayoutError: if UNet, text encoder and luminance encoder do not fit each other.
            TokenizerError, WordNetError: if nouns are to be placed and one is not there.
        """
        super().__init__()
        if config.train == "published" and not (start.unet and start.text):
            raise ConfigError(
                f"train = 'published' freezes what was trained before, but {config.start} has no "
                "UNet or no text encoder"
            )
        self.config = config
        self.first_stage = replace(start, unet={}, text={})
        self.unet = _unet(config, start)
        if not torch.cuda.is_available():
            # Explicit attention: a CPU's step takes about a third less than with the fused one.
            self.unet.set_attn_processor(AttnProcessor())
        localized = config.localization_weight > 0
        self.attention = GuidedAttention(config.guidance, localized=localized)
        if config.guided or localized:
            install(self.unet, self.attention)
        text = start.text
        self.text = load_text_encoder(text) if text else build_text_encoder(config.text)
        self._check_width()
        if config.train == "published":
            self._freeze()
        if config.wordnet:
            self._place_nouns(Kinds(Path(config.wordnet)))
        self.schedule = DDPMScheduler(**SCHEDULE)

    def _check_width(self) -> None:
        """Make sure that a UNet that was there reads what the text encoder gives."""
        reads = self.unet.config["cross_attention_dim"]
        gives = self.text.config.hidden_size
        if reads != gives:
            raise LayoutError(
                f"the UNet of {self.config.start} reads texts of width {reads}, but the text "
                f"encoder gives {gives}: one from nothing has the width of [text]"
            )

    def _freeze(self) -> None:
        """Let the new channels and the output blocks train, and nothing else (section 3.2)."""
        self.requires_grad_(False)
        self.unet.up_blocks.requires_grad_(True)
        weight = self.unet.conv_in.weight.requires_grad_(True)
        weight.register_hook(_of_new_channels)

    def _place_nouns(self, kinds: Kinds) -> None:
        """Put nouns beside their like, and keep all embeddings where they are from then on."""
        tokenizer = load_tokenizer(Path(self.config.tokenizer))
        table = cast(nn.Embedding, self.text.get_input_embeddings()).weight.requires_grad_(False)
        vocabulary = tokenizer.get_vocab()
        placed = place_nouns(table, vocabulary, tokenizer.tokenize, kinds, SPOKEN)
        logger.info("placed the embeddings of %d nouns and parts of nouns", placed)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return what is trained.

        Weight decay, AdamW's usual otherwise, would also shrink the weights that share a tensor
        with the new channels and stay as they are.
        """
        group: dict[str, Any] = {"params": [p for p in self.parameters() if p.requires_grad]}
        return [group | {"weight_decay": 0.0} if self.config.train == "published" else group]

    def forward(self, batch: EncodedBatch, _step: int) -> tuple[Tensor, Figures]:
        """Compute L_lat, the error of the predicted noise (equation 5), weighted by noise level."""
        config = self.config
        uniform, noise = draws(
            batch.numbers, batch.latents.shape, config.data.seed, config.noise_offset
        )
        uniform, noise = uniform.to(batch.latents), noise.to(batch.latents)
        t = (1000 * uniform ** (1 / config.noise_bias)).long().clamp(max=999)
        noisy = self.schedule.add_noise(batch.latents, noise, t)  # pyright: ignore
        context = self.text(batch.tokens).last_hidden_state
        with self.attention.toward(batch.instances, self._guided(batch)) as mislaid:
            predicted = self.unet(conditioned_input(noisy, batch.luminance), t, context).sample
        squares = (predicted.float() - noise).square().mean(dim=1)
        errors = (squares * self._weights_of_places(batch, squares)).mean(dim=(1, 2))
        alphas: Tensor = self.schedule.alphas_cumprod.to(t.device)[t]
        weights = ((1 - alphas) / alphas).clamp(1, config.largest_weight)
        loss = (weights * errors).mean()
        figures = {"unweighted": squares.detach().mean(dim=(1, 2)).mean()}
        if mislaid:
            localization = torch.stack(mislaid).mean()
            loss = loss + config.localization_weight * localization
            figures["localization"] = localization.detach()
        return loss, figures

    def _weights_of_places(self, batch: EncodedBatch, errors: Tensor) -> Tensor:
        """Compute by how much each place counts, Bxhxw; see `DiffusionConfig`."""
        weights = torch.ones_like(errors)
        for row, known in zip(weights, batch.instances, strict=True):
            if known.tokens:
                row += (self.config.thing_weight - 1) * known.masks.to(errors).amax(dim=0)
            if known.unsaid is not None:
                row += (self.config.skin_weight - 1) * known.unsaid.to(errors)
        return weights

    def _guided(self, batch: EncodedBatch) -> list[bool]:
        """Which pictures' attention is guided: some, spread evenly, where masks are known."""
        share = self.config.guided
        return [int((n + 1) * share) > int(n * share) for n in batch.numbers.tolist()]

    def checkpoint(self) -> StateDict:
        """Return the tensors of all networks in the checkpoint's layout."""
        return checkpoint.join(
            replace(
                self.first_stage,
                unet=checkpoint.unet_from_diffusers(self.unet.state_dict()),
                text=text_from_transformers(self.text.state_dict()),
            )
        )

    @torch.no_grad()
    def samples(self, batch: Batch, encode: FrozenEncoders) -> list[Row]:
        """Return the truth, its gray and the sampled colors of each picture."""
        context, empty = (
            self.text(encode.tokens(texts)).last_hidden_state for texts in (batch.texts, [""])
        )
        latents = sample(self.unet, encode(batch).luminance, context, empty)
        colored = encode.decode(latents, batch.images)
        columns = (batch.images, gray(lightness(batch.images)), colored)
        return [Row(text, row) for text, *row in zip(batch.texts, *columns, strict=True)]


def _unet(config: DiffusionConfig, start: CheckpointParts) -> UNet2DConditionModel:
    gray_channels = LuminanceEncoderConfig.from_state_dict(start.encoder).widths[-1]
    if not start.unet:
        text = TextConfig.from_state_dict(start.text) if start.text else config.text
        unet = build_unet(config.unet, text.width, gray_channels)
        if passes_latents(config.unet.widths):
            start_with_identity(unet)
        return unet
    unet = load_unet(start.unet)
    if unet.conv_in.in_channels == LATENT_CHANNELS:
        extend_first_convolution(unet, gray_channels)
    if unet.conv_in.in_channels != LATENT_CHANNELS + gray_channels:
        raise LayoutError(
            f"the UNet reads {unet.conv_in.in_channels - LATENT_CHANNELS} channels of luminance, "
            f"but the luminance encoder in {config.start} gives {gray_channels}"
        )
    return unet


def _of_new_channels(gradient: Tensor) -> Tensor:
    """Take the latent's channels out of the first convolution's gradient."""
    return torch.cat(
        [torch.zeros_like(gradient[:, :LATENT_CHANNELS]), gradient[:, LATENT_CHANNELS:]], dim=1
    )


def encoded_batches(
    config: DiffusionConfig, encode: FrozenEncoders, first: int
) -> Iterator[EncodedBatch]:
    """Yield batches from step `first` on; with a pool, from a sliding window of encoded scenes.

    Encoding and drawing scenes costs a CPU more than the UNet's step does, so that each is used
    several times with other noise. The window, which is filled before the first batch, and the
    draws from it are functions of the step: training can go on from any.
    """
    data, accelerator = config.data, encode.accelerator
    if not config.pool:
        yield from map(encode, batches(data, config.fit.batch, accelerator, first))
        return
    kept = max(config.pool // config.fresh, 1)
    window: deque[EncodedBatch] = deque(maxlen=kept)
    step = first
    for scenes in batches(data, config.fresh, accelerator, first):
        window.append(encode(scenes))
        if len(window) == kept:
            yield _draw(config, window, step, accelerator)
            step += 1


def _draw(
    config: DiffusionConfig, window: Sequence[EncodedBatch], step: int, accelerator: Accelerator
) -> EncodedBatch:
    generator = torch.Generator().manual_seed(
        (config.data.seed * 1_000_003 + step) * accelerator.num_processes
        + accelerator.process_index
    )
    size = len(window[0].latents)
    chosen = torch.randint(len(window) * size, (config.fit.batch,), generator=generator)
    places = [(window[int(n) // size], int(n) % size) for n in chosen]
    return EncodedBatch(
        torch.stack([scenes.latents[n] for scenes, n in places]),
        torch.stack([scenes.luminance[n] for scenes, n in places]),
        torch.stack([scenes.tokens[n] for scenes, n in places]),
        draw_numbers(step, config.fit.batch, accelerator),
        [scenes.instances[n] for scenes, n in places],
    )


def train(config: DiffusionConfig) -> Path:
    """Train stage 2 and return the path of the complete checkpoint.

    Raises:
        TokenizerError: if the tokenizer is not there.
        LayoutError: if the start has no autoencoder or no luminance encoder, or does not fit.
        ConfigError: if what is to be frozen, or a path of the data, is not there.
        TrainingError: if the loss is no longer a number.
    """
    config.data.require_paths()
    set_seed(config.data.seed)
    tokenizer = load_tokenizer(Path(config.tokenizer))
    stage = Diffusion(config, _read_start(config))
    fit = Fit(stage, config.fit, "diffusion", config.data.size)
    encode = FrozenEncoders(stage.first_stage, tokenizer, fit.accelerator)
    shown = cache(partial(first_batch, config.data, fit.accelerator))
    pictures = partial(encoded_batches, config, encode)
    return fit.run(pictures, lambda: stage.samples(shown(), encode))


def _read_start(config: DiffusionConfig) -> CheckpointParts:
    start = read_checkpoint(Path(config.start))
    if not start.vae or not start.encoder:
        raise LayoutError(
            f"{config.start}: stage 2 starts from a checkpoint with an autoencoder and a luminance "
            "encoder (first_stage_model.*), as stage 1 writes it"
        )
    return start
