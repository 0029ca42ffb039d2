"""The diffusers and transformers networks of a checkpoint, built from their widths."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ..model import checkpoint
from ..model.checkpoint import FAMILIES, FAMILY, StateDict, count_modules
from ..model.geometry import LATENT_PIXEL
from ..model.luminance import GROUPS
from ..model.patch import LATENT_CHANNELS

HEADS = 8
TEXT_HEAD_WIDTH = 64
TOKENS = 77
VOCABULARY = 49408
END_TOKEN = 49407
SCALE_FACTOR = 0.18215
"""What latents are multiplied by before diffusion; Stable Diffusion's."""


class WidthError(ValueError):
    """A network cannot be built at these widths; the message names the width."""


class TokenizerError(ValueError):
    """A folder does not hold CLIP's tokenizer."""


@dataclass(frozen=True)
class UNetConfig:
    """Widths of an SD 1.x UNet; the default is the published one.

    Attributes:
        widths: channels of each level, multiples of 32 and of the first.
        blocks: residual blocks a level.
        attention: transformer blocks in each attention of a level; 0: it has none. The middle has
            as many as the last level, and one at least.
    """

    widths: tuple[int, ...] = (320, 640, 1280, 1280)
    blocks: int = 2
    attention: tuple[int, ...] = (1, 1, 1, 0)

    def __post_init__(self) -> None:
        """Check what types cannot."""
        _check_levels(self.widths, self.blocks)
        if len(self.attention) != len(self.widths):
            raise WidthError(
                f"attention: expected one value for each of the {len(self.widths)} widths, not "
                f"{len(self.attention)}"
            )
        if not any(self.attention) or min(self.attention) < 0:
            raise WidthError(
                f"attention: expected values from 0 on, and one above it, not {self.attention}"
            )

    @classmethod
    def from_state_dict(cls, unet: StateDict) -> "UNetConfig":
        """Read the configuration off tensors in the diffusers layout."""
        levels = range(count_modules(unet, "down_blocks"))
        return cls(
            widths=tuple(unet[f"down_blocks.{i}.resnets.0.conv2.weight"].shape[0] for i in levels),
            blocks=count_modules(unet, "down_blocks.0.resnets"),
            attention=tuple(
                count_modules(unet, f"down_blocks.{i}.attentions.0.transformer_blocks")
                for i in levels
            ),
        )


@dataclass(frozen=True)
class VAEConfig:
    """Widths of an SD 1.x VAE; the default is the published one.

    Attributes:
        widths: channels of four levels, full resolution first; multiples of 32 and of the first.
        blocks: residual blocks a level in the encoder; the decoder has one more.
    """

    widths: tuple[int, ...] = (128, 256, 512, 512)
    blocks: int = 2

    def __post_init__(self) -> None:
        """Check what types cannot."""
        _check_levels(self.widths, self.blocks)
        if 2 ** (len(self.widths) - 1) != LATENT_PIXEL:
            raise WidthError(f"widths: expected 4 for latents of 8 px, not {len(self.widths)}")

    @classmethod
    def from_state_dict(cls, vae: StateDict) -> "VAEConfig":
        """Read the configuration off tensors in the diffusers layout."""
        levels = range(count_modules(vae, "encoder.down_blocks"))
        return cls(
            tuple(vae[f"encoder.down_blocks.{i}.resnets.0.conv2.weight"].shape[0] for i in levels),
            count_modules(vae, "encoder.down_blocks.0.resnets"),
        )


@dataclass(frozen=True)
class TextConfig:
    """Width and depth of a CLIP text encoder with heads of 64; the default is ViT-L/14."""

    width: int = 768
    layers: int = 12

    def __post_init__(self) -> None:
        """Check what types cannot."""
        _check_multiple("width", self.width, TEXT_HEAD_WIDTH)
        if (known := FAMILIES.get(self.width, FAMILY)) != FAMILY:
            raise WidthError(f"width: {self.width} would be taken for that of {known}")
        _check_multiple("layers", self.layers, 1)

    @classmethod
    def from_state_dict(cls, text: StateDict) -> "TextConfig":
        """Read the configuration off the tensors."""
        width = text["text_model.embeddings.token_embedding.weight"].shape[1]
        return cls(width, count_modules(text, "text_model.encoder.layers"))


def _check_levels(widths: Sequence[int], blocks: int) -> None:
    for level, width in enumerate(widths):
        # The host counts in widths of the first level.
        _check_multiple("widths", width, widths[0] if level else GROUPS)
    _check_multiple("blocks", blocks, 1)


def _check_multiple(name: str, value: int, of: int) -> None:
    if value < 1 or value % of:
        raise WidthError(f"{name}: expected a multiple of {of} from {of} on, not {value}")


def build_unet(config: UNetConfig, context: int, gray_channels: int) -> UNet2DConditionModel:
    """Build an SD 1.x UNet with the extended first convolution (paper section 3.2).

    Args:
        config: its own widths.
        context: width of the text encoder's output.
        gray_channels: channels of the luminance features beside the latent's four.
    """
    down = tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in config.attention)
    up = tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(config.attention))
    return UNet2DConditionModel(
        in_channels=LATENT_CHANNELS + gray_channels,
        out_channels=LATENT_CHANNELS,
        down_block_types=down,
        up_block_types=up,
        block_out_channels=config.widths,
        layers_per_block=config.blocks,
        cross_attention_dim=context,
        transformer_layers_per_block=tuple(max(n, 1) for n in config.attention),  # pyright: ignore
        attention_head_dim=HEADS,  # the number of heads, in spite of its name
    )


def build_vae(config: VAEConfig) -> AutoencoderKL:
    """Build an SD 1.x VAE."""
    levels = len(config.widths)
    return AutoencoderKL(  # its annotations allow one level only
        down_block_types=("DownEncoderBlock2D",) * levels,  # pyright: ignore[reportArgumentType]
        up_block_types=("UpDecoderBlock2D",) * levels,  # pyright: ignore[reportArgumentType]
        block_out_channels=config.widths,  # pyright: ignore[reportArgumentType]
        layers_per_block=config.blocks,
        latent_channels=LATENT_CHANNELS,
        scaling_factor=SCALE_FACTOR,
    )


def build_text_encoder(config: TextConfig) -> CLIPTextModel:
    """Build a CLIP text encoder."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=VOCABULARY,
            hidden_size=config.width,
            intermediate_size=4 * config.width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.width // TEXT_HEAD_WIDTH,
            max_position_embeddings=TOKENS,
            projection_dim=config.width,
            hidden_act="quick_gelu",
            eos_token_id=END_TOKEN,
        )
    )


def load_unet(unet: StateDict) -> UNet2DConditionModel:
    """Build the UNet of a checkpoint's tensors (Stable Diffusion layout)."""
    tensors = checkpoint.unet_to_diffusers(unet)
    context = tensors["mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"].shape[1]
    gray_channels = tensors["conv_in.weight"].shape[1] - LATENT_CHANNELS
    network = build_unet(UNetConfig.from_state_dict(tensors), context, gray_channels)
    network.load_state_dict(tensors)
    return network


def load_vae(vae: StateDict) -> AutoencoderKL:
    """Build the VAE of a checkpoint's tensors (Stable Diffusion layout)."""
    tensors = checkpoint.vae_to_diffusers(vae)
    network = build_vae(VAEConfig.from_state_dict(tensors))
    network.load_state_dict(tensors)
    return network


def load_text_encoder(text: StateDict) -> CLIPTextModel:
    """Build the text encoder of a checkpoint's tensors (Stable Diffusion layout)."""
    network = build_text_encoder(TextConfig.from_state_dict(text))
    # Some releases of transformers put everything below `text_model.`, some nothing.
    own = {name.removeprefix("text_model."): name for name in network.state_dict()}
    plain = {name.removeprefix("text_model."): tensor for name, tensor in text.items()}
    plain.pop("embeddings.position_ids", None)  # a buffer in old checkpoints
    network.load_state_dict({own.get(name, name): tensor for name, tensor in plain.items()})
    return network


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """Read CLIP's tokenizer.

    Args:
        folder: holds its vocab.json and merges.txt.

    Raises:
        TokenizerError: if one is missing; transformers would go on with a vocabulary of two tokens.
    """
    missing = [name for name in ("vocab.json", "merges.txt") if not (folder / name).is_file()]
    if missing:
        raise TokenizerError(
            f"tokenizer = {folder}: there is no {' and no '.join(missing)}. Name the folder with "
            "CLIP's vocabulary; every ComfyUI has one in comfy/sd1_tokenizer"
        )
    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)


def text_from_transformers(text: StateDict) -> StateDict:
    """Rename `transformers.CLIPTextModel`'s tensors to the checkpoint's."""
    return {f"text_model.{name.removeprefix('text_model.')}": text[name] for name in text}


def extend_first_convolution(unet: UNet2DConditionModel, gray_channels: int) -> None:
    """Give a pretrained UNet's first convolution zero weights for luminance (section 3.2).

    The four latent channels' weights stay as they are, bit for bit.
    """
    old, channels = unet.conv_in, LATENT_CHANNELS + gray_channels
    new = torch.nn.Conv2d(channels, old.out_channels, 3, padding=1)
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, :LATENT_CHANNELS] = old.weight[:, :LATENT_CHANNELS]
        new.bias.copy_(old.bias)  # pyright: ignore
    unet.conv_in = new
    unet.register_to_config(in_channels=channels)


def conditioned_input(latent: Tensor, luminance: Tensor) -> Tensor:
    """Put the noisy latent and luminance[9] into the UNet's one input, in this order."""
    return torch.cat([latent, luminance], dim=1)
