"""The luminance lock: a colorized image with the photo's own lightness."""

from collections.abc import Callable

import torch
from torch import Tensor

from .lab import ImageError, check_image, exact, rgb_to_lab, row_bands

BISECTIONS = 14
HAIR = 5e-5
"""An eightieth of a level of 8 bits, which Kornia's grays lack at the most: savers that cut off
what is below a level would make them a level less green."""


def lock_lightness(
    image: Tensor,
    lightness: Tensor,
    progress: Callable[[float], None] | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """The colors (a*, b*) of `image` with the given lightness.

    A color that sRGB cannot show at that lightness keeps its hue and loses chroma. The result's
    CIE L is within 0.01 of `lightness`. Worked in bands of rows, so that a large scan needs
    little memory beyond its result.

    Args:
        image: B,3,H,W sRGB, floating point, in [0, 1].
        lightness: B,1,H,W CIE L in [0, 100].
        progress: told after every band which share of the rows is done, in [0, 1].
        out: like `image`, which it may be: where the result goes.

    Returns:
        B,3,H,W sRGB in [0, 1], of the type of `image`.

    Raises:
        ImageError: a shape does not fit, a value is not finite or a lightness not in [0, 100].
    """
    check_image(image, channels=3)
    check_lightness(lightness, image)
    locked = torch.empty_like(image) if out is None else out
    with exact(image):
        for band in row_bands(image, progress):
            lab = rgb_to_lab(image[:, :, band].float().clamp(0, 1))
            lab[:, :1] = lightness[:, :, band]
            locked[:, :, band] = rgb_in_gamut(lab).add_(HAIR).clamp_(max=1)
    return locked


def rgb_in_gamut(lab: Tensor) -> Tensor:
    """sRGB of CIE Lab colors, those outside the gamut moved into it as by `into_gamut`.

    Args:
        lab: B,3,H,W CIE Lab, float32 or float64, L in [0, 100].

    Returns:
        B,3,H,W in [0, 1].
    """
    from kornia.color import lab_to_rgb

    rgb = lab_to_rgb(lab, clip=False)
    outside = ~_is_shown(rgb.movedim(1, 0))
    moved = _shrink_chroma(lab.movedim(1, 0)[:, outside])
    rgb.movedim(1, 0)[:, outside] = lab_to_rgb(moved[..., None])[..., 0]
    return rgb


def into_gamut(lab: Tensor) -> Tensor:
    """Colors moved into the sRGB gamut along chroma, at constant L and hue.

    Args:
        lab: B,3,H,W CIE Lab, float32 or float64, L in [0, 100].

    Returns:
        B,3,H,W; colors that were inside are unchanged.
    """
    colors = lab.movedim(1, 0)
    outside = ~_in_gamut(colors)
    result = colors.clone()
    result[:, outside] = _shrink_chroma(colors[:, outside])
    return result.movedim(0, 1)


def _shrink_chroma(colors: Tensor) -> Tensor:
    """3,N colors outside the gamut, chroma scaled down until just inside, by bisection."""
    inside = torch.zeros_like(colors[0])
    outside = torch.ones_like(inside)
    for _ in range(BISECTIONS):
        middle = (inside + outside) / 2
        fits = _in_gamut(_scale_chroma(colors, middle))
        inside = torch.where(fits, middle, inside)
        outside = torch.where(fits, outside, middle)
    return _scale_chroma(colors, inside)


def _scale_chroma(colors: Tensor, scale: Tensor) -> Tensor:
    return torch.stack([colors[0], colors[1] * scale, colors[2] * scale])


def _in_gamut(colors: Tensor) -> Tensor:
    """Whether each of 3,... Lab colors lies in the sRGB cube."""
    from kornia.color import lab_to_rgb

    rgb = lab_to_rgb(colors.reshape(3, -1, 1), clip=False)
    return _is_shown(rgb).view(colors.shape[1:])


def _is_shown(rgb: Tensor) -> Tensor:
    """Whether each of 3,... values lies in the sRGB cube."""
    return ((rgb >= 0) & (rgb <= 1)).all(dim=0)


def check_lightness(lightness: Tensor, image: Tensor) -> None:
    """Raise `ImageError` unless `lightness` is CIE L in [0, 100] of the size of `image`."""
    check_image(lightness, channels=1)
    if lightness.shape[0] != image.shape[0] or lightness.shape[2:] != image.shape[2:]:
        raise ImageError(
            f"The lightness is {tuple(lightness.shape)} and the image {tuple(image.shape)}; "
            "they must have one batch size, height and width."
        )
    if lightness.numel() and (lightness.min() < 0 or lightness.max() > 100):
        raise ImageError(
            f"The lightness goes from {lightness.min():.4g} to {lightness.max():.4g}; "
            "CIE L lies in [0, 100]."
        )
