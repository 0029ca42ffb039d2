"""Latents to pictures in the host's VAE, with the photo's luminance."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import cycle
from operator import ne
from typing import Any, Literal

import comfy.model_management as management
import comfy.sd
import torch
from torch import Tensor

from ..color.edges import keep_to_edges
from ..color.lock import lock_lightness
from ..color.upsample import carry_colors
from ..model.decoding import add_luminance, decoder_taps
from ..model.geometry import LATENT_PIXEL
from ..model.patch import LATENT_CHANNELS
from ..model.tiling import decode_in_tiles
from .conditioning import DIGESTS_KEY
from .luminance import Luminance
from .origin import origin_of
from .progress import Progress, watching

Lightness = Literal["input", "decoder"]
SMALLEST_TILE = 64
"""Side in px: smaller tiles are mostly margins, and would take hours."""


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
        full_resolution: colors end at the edges of the photo's own lightness: bled ones are
            taken back, unless `lightness` is `decoder`, and where the photo is larger than the
            working size, they are enlarged along its edges; otherwise plainly.
        tile_size: decode in tiles of this many px a side, for small memory; 0: in one piece.

    Returns:
        sRGB Bx3xHxW in [0, 1].

    Raises:
        DecodingError: if latent, luminance and VAE do not fit together, `tile_size` is none, or
            latent or picture hold NaN.
    """
    if tile_size and tile_size < SMALLEST_TILE:
        raise DecodingError(
            f"tile_size is {tile_size}: it must be {SMALLEST_TILE} px or more, or 0 for one piece"
        )
    _check_latent(latent, luminance)
    _check_vae(vae, luminance)
    progress = Progress(4 * len(latent))
    show = partial(_decode, vae, how=lightness, edges=full_resolution, tile=tile_size)
    first = show(latent[:1], luminance.photo(0), progress)
    if len(latent) == 1:
        return first
    pictures = first.new_empty(len(latent), *first.shape[1:])  # no clip is held twice
    pictures[0] = first[0]
    for number, row in enumerate(latent[1:].split(1), 1):
        pictures[number] = show(row, luminance.photo(number), progress)[0]
    return pictures


def _decode(
    vae: comfy.sd.VAE,
    latent: Tensor,
    photo: Luminance,
    progress: Progress,
    *,
    how: Lightness,
    edges: bool,
    tile: int,
) -> Tensor:
    """Decode one latent of one photo; see `decode`."""
    geometry = photo.geometry
    picture = _run(vae, latent, photo.features, tile, progress)
    if picture.isnan().any():
        raise DecodingError("the VAE gave NaN: start ComfyUI with --fp32-vae")
    progress.end_stage()
    if edges and how == "input":
        small = geometry.place(photo.lightness, "bilinear").clamp(0, 100)
        picture = keep_to_edges(picture, small, progress)
    progress.end_stage()
    sides = zip(geometry.working, geometry.original, strict=True)
    if edges and all(working <= original for working, original in sides):
        picture = carry_colors(geometry.unpad(picture), photo.lightness, progress)
    else:
        picture = geometry.restore(picture)
    progress.end_stage()
    if how == "input":
        picture = lock_lightness(picture, photo.lightness, progress, out=picture)
    progress.end_stage()
    return picture


def check_photos(latent: Mapping[str, Any], luminance: Luminance) -> None:
    """Compare the photos that a LATENT was made for with those of a luminance.

    Latents from other nodes say nothing of photos and are taken as they are. Where another node
    has changed the batch, one photo in common is enough; else all must be the same, in order. What
    the host took out of a batch begins with the photo that its `batch_index` says, of which the
    rest may be numbers of repetitions, and a 0 of a fixed seed.

    Raises:
        DecodingError: if the latent is for other photos.
    """
    if DIGESTS_KEY not in latent:
        return
    sampled, given = latent[DIGESTS_KEY], luminance.digests
    start = latent.get("batch_index", [0])[0] % len(sampled)
    expected = sampled[start:] + sampled[:start]
    unchanged = len(latent["samples"]) == len(sampled)
    certain = len(sampled) if unchanged else int(start > 0)
    if set(sampled).isdisjoint(given) or any(map(ne, expected[:certain], cycle(given))):
        raise DecodingError(
            "the latent was sampled for another photo than the luminance is of: use the luminance "
            "of the photo that the latent was sampled for"
        )


def _check_latent(latent: Tensor, luminance: Luminance) -> None:
    expected = LATENT_CHANNELS, *luminance.geometry.latent
    if tuple(latent.shape[1:]) != expected or latent.shape[0] % luminance.photos:
        raise DecodingError(
            f"the latent is {_size(latent.shape)}, but the luminance of {luminance.photos} "
            f"photo(s) goes with B x {_size(expected)}: use the luminance of the photo that the "
            "latent was sampled for"
        )
    if latent.isnan().any():
        raise DecodingError(
            "the latent has NaN: the UNet overflowed in half precision; start ComfyUI with "
            "--force-upcast-attention or --fp32-unet"
        )


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _check_vae(vae: comfy.sd.VAE, luminance: Luminance) -> None:
    vae.throw_exception_if_invalid()
    decoder: Any = getattr(vae.first_stage_model, "decoder", None)
    if not hasattr(decoder, "up") or not hasattr(decoder, "mid"):
        raise DecodingError(
            f"the VAE is a {type(vae.first_stage_model).__name__}, not the Stable Diffusion 1.x "
            "VAE that the luminance belongs to"
        )
    channels = decoder.conv_in.weight.shape[1]
    if channels != LATENT_CHANNELS:
        raise DecodingError(
            f"the VAE reads latents of {channels} channels, as that of FLUX does: use the Stable "
            f"Diffusion 1.x VAE that the luminance belongs to, which reads {LATENT_CHANNELS}"
        )
    taps: list[Any] = decoder_taps(decoder)
    expected = [tap.conv2.weight.shape[0] for tap in taps]
    found = [feature.shape[1] for feature in luminance.features]
    if expected != found:
        raise DecodingError(
            f"the VAE's decoder has {expected} channels where the luminance has {found}: use VAE "
            "and encoder of one checkpoint"
        )
    origin = origin_of(vae.patcher)
    if origin is not None and origin.differs(luminance.origin):
        raise DecodingError(
            f"the VAE of {origin.file} was trained with another encoder than that of "
            f"{luminance.origin and luminance.origin.file}, which the photo was encoded with: use "
            "VAE and encoder of one checkpoint"
        )


def _run(
    vae: Any, latent: Tensor, features: Sequence[Tensor], tile: int, progress: Progress
) -> Tensor:
    """Decode one latent: sRGB 1x3xHxW in [0, 1], of the padded size."""
    if tile and tile < LATENT_PIXEL * max(latent.shape[2:]):
        return _run_tiles(vae, latent, features, tile, progress)
    decoder = vae.first_stage_model.decoder
    blocks = decoder_taps(decoder)
    with _as_written(decoder), add_luminance(decoder, features, _whole), watching(blocks, progress):
        return vae.decode(latent).movedim(-1, 1).float()


def _run_tiles(
    vae: Any, latent: Tensor, features: Sequence[Tensor], tile: int, progress: Progress
) -> Tensor:
    side = tile // LATENT_PIXEL
    memory = vae.memory_used_decode((1, latent.shape[1], side, side), vae.vae_dtype)
    management.load_models_gpu([vae.patcher], memory_required=memory)
    latent = vae.first_stage_model.post_quant_conv(latent.to(vae.device, vae.vae_dtype))
    picture = decode_in_tiles(vae.first_stage_model.decoder, latent, features, tile, progress)
    return vae.process_output(picture.float()).to(vae.output_device)


def _as_written(decoder: torch.nn.Module) -> AbstractContextManager[Any]:
    """Have a compiled decoder run as it was written: a trace of it has other luminance or none."""
    if not hasattr(decoder, "_orig_mod"):
        return nullcontext()
    if not hasattr(torch.compiler, "set_stance"):  # before PyTorch 2.6
        raise DecodingError(
            "another node has compiled the VAE, to which this PyTorch can add no luminance then: "
            "take that node away, or use PyTorch 2.6 or newer"
        )
    return torch.compiler.set_stance("force_eager")


def _whole(feature: Tensor, activation: Tensor) -> Tensor:
    if feature.shape != activation.shape:
        # The host decodes in tiles of its own where one piece does not fit into memory.
        raise DecodingError(
            "there is not enough memory to decode this size in one piece: set tile_size in "
            "'Decode Colors (L-CAD)', to 128 for example"
        )
    return feature
