"""Latents to pictures in the host's VAE, with the photo's luminance."""

from typing import Any, Literal

import comfy.sd
import torch
from torch import Tensor

from ..color.lock import lock_lightness
from ..color.upsample import carry_colors
from ..model.decoding import add_luminance
from ..model.geometry import Geometry
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
    pictures = []
    for number in range(latent.shape[0]):
        photo = slice(number % luminance.photos, number % luminance.photos + 1)
        features = [feature[photo] for feature in luminance.features]
        with add_luminance(_decoder(vae), features, _fitting):
            decoded = vae.decode(latent[number : number + 1]).movedim(-1, 1).float()
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


def _fitting(feature: Tensor, activation: Tensor) -> Tensor:
    if feature.shape[1] != activation.shape[1]:
        raise DecodingError(
            f"the VAE's decoder has {activation.shape[1]} channels where the luminance has "
            f"{feature.shape[1]}: use VAE and encoder of one checkpoint"
        )
    if feature.shape != activation.shape:
        # The host decodes in tiles where one piece does not fit into memory.
        raise DecodingError(
            "there is not enough memory to decode this size: choose a smaller resolution in "
            "'L-CAD Encode Luminance'"
        )
    return feature
