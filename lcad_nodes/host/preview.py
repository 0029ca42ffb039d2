"""What is shown while the host samples: the photo in the colors found so far."""

import math
from functools import cached_property
from typing import Any

import comfy.latent_formats
import comfy.sd
import latent_preview
import torch
from comfy.cli_args import LatentPreviewMethod, args
from comfy.model_patcher import ModelPatcher
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from ..color.lab import lab_to_rgb, rgb_to_lab
from ..model.geometry import LATENT_PIXEL, Geometry
from .luminance import Luminance

LEVELS = (0.1, 0.37, 0.63, 0.9)
"""Values of R, G and B in the chart of colors."""
LONGEST = 384
"""Longer side of a preview, in px: larger ones take as long as a small model's step."""


class FittedLatent(comfy.latent_formats.SD15):
    """Stable Diffusion's latent as one VAE writes it: with that VAE's own colors in previews.

    The colors are found out when a preview first asks for them.
    """

    def __init__(self, vae: comfy.sd.VAE) -> None:
        self.scale_factor = 0.18215
        self.taesd_decoder_name = None  # which knows the published VAE's latents alone
        self._vae = vae

    def encode(self, pictures: Tensor) -> Tensor:
        """Encode sRGB pictures Bx3xHxW in [0, 1]: Bx4xhxw, without the scale factor."""
        return self._vae.encode(pictures.movedim(1, -1))

    @cached_property
    def _fit(self) -> Tensor:
        """Fit colors to the latent of a chart that has one color a latent pixel."""
        chart = color_chart()
        picture = interpolate(chart, scale_factor=LATENT_PIXEL, mode="nearest")
        latent = self.process_in(self.encode(picture))
        values, colors = (_rows(grid.float().cpu()) for grid in (latent, 2 * chart - 1))
        with_constant = torch.cat([values, torch.ones(len(values), 1)], dim=1)
        return torch.linalg.lstsq(with_constant, colors).solution

    @property
    def latent_rgb_factors(self) -> list[list[float]]:
        """A latent's share in R, G and B in [-1, 1], channel by channel."""
        return self._fit[:-1].tolist()

    @property
    def latent_rgb_factors_bias(self) -> list[float]:
        """R, G and B of a latent of zeros."""
        return self._fit[-1].tolist()


def color_chart() -> Tensor:
    """Draw colors from all over sRGB, one a pixel: 1x3x8x8 in [0, 1]."""
    levels = torch.tensor(LEVELS)
    colors = torch.cartesian_prod(levels, levels, levels)
    side = math.isqrt(len(colors))
    return colors.T.reshape(1, 3, side, side)


def _rows(grid: Tensor) -> Tensor:
    """List a grid's pixels: 1xCxHxW to HW x C."""
    return grid[0].flatten(1).T


def previewer_of(model: ModelPatcher) -> latent_preview.LatentPreviewer | None:
    """Take the host's previewer, as the user has set previews; None: nothing is to be shown."""
    latent = model.model.latent_format
    if isinstance(latent, FittedLatent) and args.preview_method == LatentPreviewMethod.TAESD:
        # The host takes the same, but first warns that a file of the name 'None' is missing.
        factors = latent.latent_rgb_factors, latent.latent_rgb_factors_bias
        return latent_preview.Latent2RGBPreviewer(*factors)
    return latent_preview.get_previewer(model.load_device, latent)


class PhotoPreviewer(latent_preview.LatentPreviewer):
    """The host's own preview of a latent, in the photo's own lightness."""

    def __init__(self, previewer: latent_preview.LatentPreviewer, luminance: Luminance) -> None:
        self._previewer = previewer
        self._geometry: Geometry = luminance.geometry
        self._longest = min(LONGEST, latent_preview.MAX_PREVIEW_RESOLUTION)
        self._lightness = luminance.photo(0).thumbnail(self._longest)

    def decode_latent_to_preview(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, x0: Tensor
    ) -> Image.Image:
        """Show the first photo of a batch."""
        rough: Any = self._previewer.decode_latent_to_preview(x0)
        colors = pil_to_tensor(rough)[None].to(self._lightness) / 255
        on_photo = self._geometry.from_latent(colors, self._longest)
        lab = rgb_to_lab(on_photo)
        lab[:, :1] = self._lightness
        return to_pil_image(lab_to_rgb(lab)[0])
