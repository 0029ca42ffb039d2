"""First guesses for networks that start from nothing.

From random weights a small network takes an hour on a CPU to learn to pass plain colors through,
since every group norm takes means away. Here a few channels are set so that the autoencoder passes
the mean color of every 8x8 block, and the UNet its noisy latent, from the first step on; all other
channels start at random.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from ..model.luminance import GROUPS, LuminanceEncoder

REFERENCE = 3.0
"""Constant beside each color channel: it keeps the group norm from taking the color away."""
LINEAR = 6.0
"""An offset at which SiLU is linear."""
LOG_VARIANCE = -6.0
"""Sampling noise at the start; of variance 1 it would drown the first signals."""
TEXT_GAIN = 8.0
"""Of the values that attention takes from the text: nearly all of its 77 tokens are padding."""
OPPONENTS = ((1.0, -1.0, 0.0), (0.5, 0.5, -1.0), (1 / 3, 1 / 3, 1 / 3))
"""The latent's first channels from R, G, B: red-green, yellow-blue, and gray."""


def passes_block_means(widths: Sequence[int]) -> bool:
    """Whether an autoencoder of these widths can start with block means.

    All must be equal and at least 96, so that a normalization group holds a color channel and two
    constants. Others start at random, which takes longer.
    """
    return len(set(widths)) == 1 and widths[0] >= 3 * GROUPS


@torch.no_grad()
def start_silent(encoder: LuminanceEncoder) -> None:
    """Let a luminance encoder add zero to a decoder that is good without it (section 3.1)."""
    for name, layer in encoder.named_modules():
        if "zero_conv" in name and isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(cast(Tensor, layer.bias))


@torch.no_grad()
def start_with_block_means(vae: AutoencoderKL, encoder: LuminanceEncoder) -> None:
    """Let a fresh autoencoder pass the mean color of every block, exactly but for SiLU's bend.

    Args:
        vae: from `build_vae`, of widths that `passes_block_means`.
        encoder: its luminance encoder; it leaves the color channels alone.
    """
    group = vae.config["block_out_channels"][0] // GROUPS
    reserved, colors = torch.arange(3 * group), torch.arange(3) * group
    for name, layer in vae.named_modules():
        if name.endswith((".conv2", ".to_out.0")):
            _silence(layer, reserved)
        elif name.endswith("samplers.0.conv"):
            _carry(layer, reserved, colors, average="down" in name)
    for name, layer in encoder.named_modules():
        if "zero_conv" in name and isinstance(layer, nn.Conv2d):
            _silence(layer, reserved)
    opponents = torch.tensor(OPPONENTS)
    _connect(vae.encoder.conv_in, reserved, colors, torch.arange(3), torch.eye(3))
    _connect(vae.decoder.conv_in, reserved, colors, torch.arange(3), opponents.inverse())
    first, second = cast(Any, vae.encoder), cast(Any, vae.decoder)
    _read_out(first, first.mid_block.resnets[1].conv2, colors, opponents)
    _read_out(second, second.up_blocks[-1].resnets[-1].conv2, colors, torch.eye(3))
    before, after = cast(Any, vae.quant_conv), cast(Any, vae.post_quant_conv)
    for convolution in (before, after):
        nn.init.dirac_(convolution.weight)
        nn.init.zeros_(convolution.bias)
    half = vae.config["latent_channels"]
    before.weight[half:] = 0
    before.bias[half:] = LOG_VARIANCE


def passes_latents(widths: Sequence[int]) -> bool:
    """Whether a UNet of these widths can start by predicting that all is noise.

    The first must be at least 64, so that a normalization group holds a channel and its negative.
    Others start at random, which takes longer.
    """
    return widths[0] >= 2 * GROUPS


@torch.no_grad()
def start_with_identity(unet: UNet2DConditionModel) -> None:
    """Let a fresh UNet predict that the whole latent is noise, which it nearly is at first.

    Every latent channel x goes from the first convolution over the last skip connection to the
    last convolution, beside -x: their group norm then has no mean to take away, and
    silu(x) - silu(-x) is x.

    Args:
        unet: from `build_unet`, of widths that `passes_latents`.
    """
    network = cast(Any, unet)
    last = network.up_blocks[-1].resnets[-1]
    width = network.conv_in.out_channels
    group = width // GROUPS
    latent = torch.arange(network.conv_out.out_channels)
    plus, minus = latent * group, latent * group + 1
    reserved = torch.arange(len(latent) * group)
    _silence(network.conv_in, reserved)
    for sign, rows in ((1.0, plus), (-1.0, minus)):
        _connect(network.conv_in, rows, rows, latent, sign * torch.eye(len(latent)))
    _silence(last.conv2, reserved)
    _silence(last.conv_shortcut, reserved)
    if hasattr(network.up_blocks[-1], "attentions"):
        _silence(network.up_blocks[-1].attentions[-1].proj_out, reserved)
    last.conv_shortcut.weight[reserved, last.in_channels - width + reserved] = 1
    network.conv_out.weight *= 0.1
    network.conv_out.weight[:, reserved] = 0
    scale = (2 / group) ** 0.5  # of the norm, where a group has channels beside the two
    for sign, columns in ((scale, plus), (-scale, minus)):
        network.conv_out.weight[latent, columns, 1, 1] = sign
    nn.init.zeros_(network.conv_out.bias)
    for name, layer in network.named_modules():
        if name.endswith("attn2.to_v"):
            layer.weight *= TEXT_GAIN


def _silence(layer: Any, rows: Tensor) -> None:
    """Let a layer write nothing to some channels."""
    layer.weight[rows] = 0
    layer.bias[rows] = 0


def _carry(layer: Any, reserved: Tensor, colors: Tensor, average: bool) -> None:
    """Let a convolution pass the color channels on, averaging 2x2 pixels where it halves."""
    _silence(layer, reserved)
    if average:
        layer.weight[colors, colors, :2, :2] = 0.25
    else:
        layer.weight[colors, colors, 1, 1] = 1


def _connect(layer: Any, reserved: Tensor, rows: Tensor, columns: Tensor, matrix: Tensor) -> None:
    """Let a 3x3 convolution's rows be a matrix of its inputs, without neighbors."""
    _silence(layer, reserved)
    layer.weight[rows[:, None], columns, 1, 1] = matrix


def _read_out(half: Any, last: Any, colors: Tensor, matrix: Tensor) -> None:
    """Let one half's normalization and last convolution pass a matrix of the color channels."""
    norm, out = half.conv_norm_out, half.conv_out
    group = int(colors[1])
    for sign, place in ((1, 1), (-1, 2)):
        last.bias[colors + place] = sign * REFERENCE
    norm.bias[: 3 * group] = LINEAR
    out.weight *= 0.1
    out.weight[:3] *= 0.1
    out.weight[:, : 3 * group] = 0
    nn.init.zeros_(out.bias)
    spread = (2 / group) ** 0.5 * REFERENCE
    for place, share in ((0, 1.0), (1, -0.5), (2, -0.5)):
        out.weight[:3, colors + place, 1, 1] = share * spread * matrix
