"""Latents to pictures in the host's VAE, with the photo's luminance."""

from typing import Any, Literal

import comfy.model_management as management
import comfy.sd
import comfy.utils
import torch
from torch import Tensor

from ..color.lock import lock_lightness
from ..color.upsample import carry_colors
from ..model.decoding import add_luminance, decoder_taps
from ..model.geometry import LATENT_PIXEL, Geometry
from ..model.tiling import decode_in_tiles
from .luminance import Luminance

Lightness = Literal["input", "decoder"]


class DecodingError(ValueError):
    """Latent, luminance and VAE do not fit together; the message says which and how."""


def decode(
    vae: comfy.sd.VAE,
    latent: Tensor,
    luminance: Luminance,
    lightness: Lightness,
    full_resolution: bool,
    tile_size: int,
) -> Tensor:
    """Decode latents into pictures of the photos' own size, one at a time.

    Args:
        vae: the VAE of the luminance encoder's checkpoint.
        latent: Bx4xhxw without the scale factor; the photos' number may divide B, then the
            photos are gone through in turn.
        luminance: the photos' luminance.
        lightness: `input`: the result's CIE L is the photo's own, colors outside the gamut lose
            chroma. `decoder`: the network's own output, as published.
        full_resolution: where the photo is larger than the working size, enlarge along the
            edges of its own lightness; otherwise plainly.
        tile_size: decode in tiles of this many px a side, for small memory; 0: in one piece.

    Returns:
        sRGB Bx3xHxW in [0, 1].

    Raises:
        DecodingError: if latent, luminance and VAE do not fit together.
    """
    if tuple(latent.shape[2:]) != luminance.geometry.latent or latent.shape[0] % luminance.photos:
        raise DecodingError(
            f"the latent is {tuple(latent.shape)}, but the luminance of {luminance.photos} "
            f"photo(s) goes with B x 4 x {luminance.geometry.latent}: use the luminance of the "
            "photo that the latent was sampled for"
        )
    decoder = _decoder(vae)
    _check_channels(decoder, luminance)
    pictures = []
    for number in range(latent.shape[0]):
        photo = slice(number % luminance.photos, number % luminance.photos + 1)
        features = [feature[photo] for feature in luminance.features]
        decoded = _run(vae, decoder, latent[number : number + 1], features, tile_size)
        full = luminance.lightness[photo]
        if full_resolution and _is_shrunk(luminance.geometry):
            picture = carry_colors(luminance.geometry.unpad(decoded), full)
        else:
            picture = luminance.geometry.restore(decoded)
        pictures.append(lock_lightness(picture, full) if lightness == "input" else picture)
    return torch.cat(pictures)


def _is_shrunk(geometry: Geometry) -> bool:
    return geometry.working[0] * geometry.working[1] < geometry.original[0] * geometry.original[1]


def _decoder(vae: comfy.sd.VAE) -> torch.nn.Module:
    vae.throw_exception_if_invalid()
    decoder: Any = getattr(vae.first_stage_model, "decoder", None)
    if not hasattr(decoder, "up") or not hasattr(decoder, "mid"):
        raise DecodingError(
            f"the VAE is a {type(vae.first_stage_model).__name__}, not the Stable Diffusion 1.x "
            "VAE that the luminance belongs to"
        )
    return decoder


def _check_channels(decoder: torch.nn.Module, luminance: Luminance) -> None:
    taps: list[Any] = decoder_taps(decoder)
    expected = [tap.conv2.weight.shape[0] for tap in taps]
    found = [feature.shape[1] for feature in luminance.features]
    if expected != found:
        raise DecodingError(
            f"the VAE's decoder has {expected} channels where the luminance has {found}: use VAE "
            "and encoder of one checkpoint"
        )


def _run(
    vae: comfy.sd.VAE, decoder: torch.nn.Module, latent: Tensor, features: list[Tensor], tile: int
) -> Tensor:
    """Decode one latent: sRGB 1x3xHxW in [0, 1], of the padded size."""
    if tile and tile < LATENT_PIXEL * max(latent.shape[2:]):
        return _run_tiles(vae, decoder, latent, features, tile)
    with add_luminance(decoder, features, _whole):
        return vae.decode(latent).movedim(-1, 1).float()


def _run_tiles(
    vae: Any, decoder: torch.nn.Module, latent: Tensor, features: list[Tensor], tile: int
) -> Tensor:
    side = tile // LATENT_PIXEL
    memory = vae.memory_used_decode((1, latent.shape[1], side, side), vae.vae_dtype)
    management.load_models_gpu([vae.patcher], memory_required=memory)
    latent = vae.first_stage_model.post_quant_conv(latent.to(vae.device, vae.vae_dtype))
    progress = comfy.utils.ProgressBar(1).update_absolute
    picture = decode_in_tiles(decoder, latent, features, tile, progress)
    return vae.process_output(picture.float()).to(vae.output_device)


def _whole(feature: Tensor, activation: Tensor) -> Tensor:
    if feature.shape != activation.shape:
        # The host decodes in tiles of its own where one piece does not fit into memory.
        raise DecodingError(
            "there is not enough memory to decode this size in one piece: set tile_size in "
            "'Decode Colors (L-CAD)', to 256 for example"
        )
    return feature
