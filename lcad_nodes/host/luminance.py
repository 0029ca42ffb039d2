"""A photo's luminance features: computed once, read by the UNet and added in the decoder."""

import hashlib
from typing import NamedTuple

import comfy.model_management as management
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor
from torch.nn.functional import interpolate

from ..color.lab import lightness as lightness_of
from ..model.geometry import LONGEST, Geometry, GeometryError, Size
from ..model.luminance import ResidualBlock, network_input
from .origin import Origin, origin_of
from .progress import Progress, watching

SQUEEZE = 2.0
"""By how much, at most, a photo's longer side is shortened to become a square."""
TRAINED_AT = "lcad_trained_at"
"""Where an encoder carries the two sides, in px, that its checkpoint was trained at.

Also the name of the tensor that does so in what the host has saved.
"""
PUBLISHED_RESOLUTION = 256
"""What the published model was trained at, in px; for files that do not say."""
CHECKPOINTS = -1
"""In place of a resolution: what the encoder's checkpoint was trained at."""
PUBLISHED_WIDTH = 128
"""Channels of the published VAE and encoder at full size; narrower ones have none to spare."""
MEMORY_PER_PIXEL = 1767
"""Values that the encoder holds at a time a pixel: the host's figure for the same stack."""


class EncodingError(ValueError):
    """A photo cannot be read; the message says why."""


class Luminance(NamedTuple):
    """What the networks know of a batch of photos (paper section 3.1).

    A tuple, as the host looks into these alone to see what an output takes of its memory.

    Attributes:
        features: the encoder's ten outputs, BxCxhxw each, on the host's intermediate device.
        lightness: CIE L at full resolution, Bx1xHxW in [0, 100].
        geometry: how the photos lie in the features' grid.
        digests: of each photo's lightness, to tell photos apart, at whatever size they are read;
            numbers, as the host's training looks into everything that can be gone through.
        origin: the encoder, where it is known.
    """

    features: tuple[Tensor, ...]
    lightness: Tensor
    geometry: Geometry
    digests: tuple[int, ...]
    origin: Origin | None

    @property
    def photos(self) -> int:
        """Number of photos."""
        return self.lightness.shape[0]

    def photo(self, number: int) -> "Luminance":
        """Take one photo out; a number beyond the last goes through them anew."""
        number %= self.photos
        one = slice(number, number + 1)
        return self._replace(
            features=tuple(feature[one] for feature in self.features),
            lightness=self.lightness[one],
            digests=self.digests[one],
        )

    def thumbnail(self, longest: int) -> Tensor:
        """Shrink the lightness to a longer side of at most `longest` px: Bx1xhxw."""
        size = self.geometry.thumbnail(longest)
        return interpolate(self.lightness, size, mode="bilinear", antialias=True)


def encode_luminance(encoder: ModelPatcher, image: Tensor, resolution: int) -> Luminance:
    """Compute the luminance features of photos, one photo at a time.

    Args:
        encoder: a `LuminanceEncoder` in a patcher.
        image: sRGB photos Bx3xHxW in [0, 1]; of color photos only the lightness is used.
        resolution: the shorter side of the working size in px; 0: the photo's own; -1: what the
            encoder's checkpoint was trained at.

    Raises:
        GeometryError: if there is no such resolution, or a photo is so narrow that it would become
            gigantic.
        EncodingError: if the encoder gives NaN or infinity.
        OOM_EXCEPTION: the host's, if there is not enough memory; it says what to do.
    """
    if not CHECKPOINTS <= resolution <= LONGEST:
        raise GeometryError(
            f"resolution is {resolution}: it must be 1 to {LONGEST} px, 0 for the photo's own, or "
            f"{CHECKPOINTS} for what the model was trained at"
        )
    lightness = lightness_of(image).to(management.intermediate_device())
    size = (image.shape[2], image.shape[3])
    as_trained = resolution == CHECKPOINTS
    geometry = _as_trained(encoder, size) if as_trained else Geometry.fit(size, resolution)
    read = geometry.place(lightness, "bilinear")
    progress = Progress(len(read))
    features: list[Tensor] = []
    for number, row in enumerate(network_input(read).split(1)):
        found = _read(encoder, row, progress)
        # Clips are long and their features many: none is held twice.
        features = features or [
            feature.new_empty((len(read), *feature.shape[1:])) for feature in found
        ]
        for feature, one in zip(features, found, strict=True):
            feature[number] = one[0]
    return Luminance(
        features=tuple(features),
        lightness=lightness,
        geometry=geometry,
        digests=tuple(map(_digest, lightness)),
        origin=origin_of(encoder),
    )


def _as_trained(encoder: ModelPatcher, size: Size) -> Geometry:
    """Work at what the checkpoint was trained at; photos are squeezed into a square.

    What has seen squares alone takes left and right from their borders.
    """
    trained_at = encoder.get_attachment(TRAINED_AT)
    if trained_at is None:
        return Geometry.fit(size, PUBLISHED_RESOLUTION)
    shorter, longer = sorted(trained_at)
    return Geometry.fit(size, shorter, SQUEEZE if shorter == longer else 1.0)


def inference_dtype(width: int, device: torch.device) -> torch.dtype:
    """Choose the type that a VAE or luminance encoder runs in: as the host does, or float32.

    The host picks bfloat16 on a GPU. In it lcad-mini's pictures lose 5 dB, all by its VAE, and a
    narrow encoder moves what is sampled three times as far as a UNet in bfloat16 does.

    Args:
        width: channels at full size; below `PUBLISHED_WIDTH` it is float32, unless the user has
            started the host with another type.
        device: that it runs on.
    """
    exact = [torch.float32]
    return management.vae_dtype(
        device, exact if width < PUBLISHED_WIDTH else [torch.bfloat16, *exact]
    )


def _digest(photo: Tensor) -> int:
    return int(hashlib.sha256(photo.cpu().contiguous().numpy().data).hexdigest(), 16)


def _read(encoder: ModelPatcher, hint: Tensor, progress: Progress) -> list[Tensor]:
    try:
        features = _run(encoder, hint, progress)
    except management.OOM_EXCEPTION as error:
        # Of the host's type still: it frees all memory then.
        raise management.OOM_EXCEPTION(
            f"there is not enough memory to read the photo at {hint.shape[2]} x {hint.shape[3]} px "
            "(height x width): lower resolution in 'Encode Photo (L-CAD)', to -1 for example; "
            "tile_size helps decoding alone"
        ) from error
    if not all(feature.isfinite().all() for feature in features):
        raise EncodingError(
            "the luminance encoder gave NaN or infinity: it overflowed in half precision; start "
            "ComfyUI with --fp32-vae"
        )
    return features


def _run(encoder: ModelPatcher, hint: Tensor, progress: Progress) -> list[Tensor]:
    device = encoder.load_device
    dtype = inference_dtype(encoder.model.config.widths[0], device)
    memory = MEMORY_PER_PIXEL * hint.shape[2] * hint.shape[3] * management.dtype_size(dtype)
    management.load_models_gpu([encoder], memory_required=memory)
    blocks = [module for module in encoder.model.modules() if isinstance(module, ResidualBlock)]
    with watching(blocks, progress):
        features = encoder.model(hint.to(device, dtype))
    progress.end_stage()
    return [feature.to(management.intermediate_device()) for feature in features]
