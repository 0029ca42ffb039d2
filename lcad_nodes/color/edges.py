"""Colors kept on their own side of the photo's edges."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from .lab import check_image, exact, rgb_to_lab, row_bands
from .lock import check_lightness, rgb_in_gamut

REACH = 8
"""How far colors bleed over edges, in px: a latent pixel of Stable Diffusion."""
STEPS = 2 * REACH**2
"""Steps of diffusion in which a color spreads by a standard deviation of `REACH`."""
RATE = 0.25
"""Share of a difference that flows between two neighbors in a step; the most that is stable."""
CONTRAST = 1.5
"""Difference of CIE L between neighbors at which the flow between them is down to 1/e."""
SLOPE = 3.0
"""Slope of CIE L, per px, near which a color counts half."""
LEAST = 0.02
"""What a color counts at the sharpest edge."""
MARGIN = 5 * REACH
"""Rows beyond a band that its colors depend on."""


def keep_to_edges(
    image: Tensor, lightness: Tensor, progress: Callable[[float], None] | None = None
) -> Tensor:
    """Take back colors that have bled over the edges of the photo's lightness.

    Latents are eight times coarser than the picture, and so are the borders of their colors. Here
    colors diffuse from neighbor to neighbor, less where lightness differs (Perona and Malik
    1990), and those that lie within `REACH` of an edge count little: what is there comes from
    farther away on the same side. Worked in bands of rows, so that a large picture needs little
    memory beyond its result.

    Args:
        image: B,3,H,W sRGB, floating point, in [0, 1].
        lightness: B,1,H,W CIE L in [0, 100] of the photo, at the same size.
        progress: told after every band which share of the rows is done, in [0, 1].

    Returns:
        B,3,H,W sRGB in [0, 1], its CIE L that of `image`.

    Raises:
        ImageError: a shape does not fit, a value is not finite or a lightness not in [0, 100].
    """
    check_image(image, channels=3)
    check_lightness(lightness, image)
    result = torch.empty_like(image)
    with exact(image):
        for band in row_bands(image, progress):
            above = min(band.start, MARGIN)
            rows = slice(band.start - above, band.stop + MARGIN)
            lab = rgb_to_lab(image[:, :, rows].float().clamp(0, 1))
            lab[:, 1:] = _diffuse(lab[:, 1:], lightness[:, :, rows].float())
            kept = rgb_in_gamut(lab)
            result[:, :, band] = kept[:, :, above : above + band.stop - band.start]
    return result


def _diffuse(colors: Tensor, lightness: Tensor) -> Tensor:
    """The mean of the colors around each place that are on its side of the edges; B,2,H,W."""
    trust = _trust(lightness)
    flowing = torch.cat([colors * trust, trust], dim=1)
    right, down = (_conductance(lightness, dim) for dim in (3, 2))
    for _ in range(STEPS):
        to_left, to_top = right * flowing.diff(dim=3), down * flowing.diff(dim=2)
        flowing[..., :-1] += to_left
        flowing[..., 1:] -= to_left
        flowing[..., :-1, :] += to_top
        flowing[..., 1:, :] -= to_top
    return flowing[:, :-1] / flowing[:, -1:]


def _conductance(lightness: Tensor, dim: int) -> Tensor:
    """How much flows between each two neighbors; one less along `dim`."""
    return RATE * torch.exp(-((lightness.diff(dim=dim) / CONTRAST) ** 2))


def _trust(lightness: Tensor) -> Tensor:
    """How much each place's color counts, in [`LEAST`, 1]: little near edges."""
    from kornia.filters import gaussian_blur2d, spatial_gradient

    smooth = gaussian_blur2d(lightness, (5, 5), (1.0, 1.0), border_type="replicate")
    slope = spatial_gradient(smooth)[:, 0].norm(dim=1, keepdim=True)
    nearby = max_pool2d(slope, 2 * REACH + 1, stride=1, padding=REACH)
    return (1 / (1 + (nearby / SLOPE) ** 2)).clamp(min=LEAST)
