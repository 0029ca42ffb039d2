"""Colors kept on their own side of the photo's edges."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

from .lab import check_image, exact, rgb_to_lab, row_bands
from .lock import check_lightness, rgb_in_gamut

REACH = 8
"""How far the decoder blurs colors over edges, in px: a latent pixel of Stable Diffusion."""
SMOOTHNESS = 2000.0
"""Weight of differences between neighbors against differences to the colors given."""
ROUNDS = 3
"""Times that rows and columns are gone through, each with a quarter of the smoothness before."""
CONTRAST = 0.6
"""Difference of CIE L between neighbors at which theirs in color counts 1/e."""
SLOPE = 3.0
"""Slope of CIE L, per px, near which a color counts half."""
LEAST = 0.1
"""What a color counts at the sharpest edge."""
MARGIN = 136
"""Rows beyond a band that its colors depend on, five times as many as a color spreads over."""


def keep_to_edges(
    image: Tensor, lightness: Tensor, progress: Callable[[float], None] | None = None
) -> Tensor:
    """Take back colors that have bled over the edges of the photo's lightness.

    Latents are eight times coarser than the picture, and so are the borders of their colors; what
    attention misplaces lies farther out still. Here neighbors of one lightness get one color, by
    weighted least squares along rows and columns in turn (Min et al. 2014, "Fast global image
    smoothing based on weighted least squares"), and colors within `REACH` of an edge count little:
    what is there comes from farther away on the same side. Worked in bands of rows, so that a large
    picture needs little memory beyond its result.

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
            lab[:, 1:] = _smooth(lab[:, 1:], lightness[:, :, rows].float())
            kept = rgb_in_gamut(lab)
            result[:, :, band] = kept[:, :, above : above + band.stop - band.start]
    return result


def _smooth(colors: Tensor, lightness: Tensor) -> Tensor:
    """The mean of the colors around each place that are on its side of the edges; B,2,H,W."""
    from kornia.filters import median_blur

    trust = _trust(lightness)
    framed = pad(lightness, (1, 1, 1, 1), mode="replicate")
    plain = median_blur(framed, 3)[..., 1:-1, 1:-1]  # the grain of old photos is no edge
    weights = {d: torch.exp(-((plain.diff(dim=d) / CONTRAST) ** 2)).movedim(d, 0) for d in (3, 2)}
    sums = torch.cat([colors * trust, trust], dim=1)
    for number in range(1, ROUNDS + 1):
        share = 1.5 * 4 ** (ROUNDS - number) / (4**ROUNDS - 1)  # of all rounds, rows and columns: 1
        for dim, weight in weights.items():
            sums = _solve(sums.movedim(dim, 0), share * SMOOTHNESS * weight).movedim(0, dim)
    return sums[:, :-1] / sums[:, -1:]


def _solve(values: Tensor, weights: Tensor) -> Tensor:
    """What lies near the values and has small differences, by Thomas's algorithm along dim 0.

    Args:
        values: NxBxCxM.
        weights: N-1xBx1xM, of the squared differences between each two.
    """
    none = torch.zeros_like(values[:1, :, :1])
    before, after = torch.cat([none, weights]), torch.cat([weights, none])
    weight = 1 + before + after
    passed = [after[0] / weight[0]]
    solved = [values[0] / weight[0]]
    for n in range(1, len(values)):
        rest = weight[n] - before[n] * passed[-1]
        passed.append(after[n] / rest)
        solved.append((values[n] + before[n] * solved[-1]) / rest)
    for n in reversed(range(len(values) - 1)):
        solved[n] = solved[n] + passed[n] * solved[n + 1]
    return torch.stack(solved)


def _trust(lightness: Tensor) -> Tensor:
    """How much each place's color counts, in [`LEAST`, 1]: little near edges."""
    from kornia.filters import gaussian_blur2d, spatial_gradient

    smooth = gaussian_blur2d(lightness, (5, 5), (1.0, 1.0), border_type="replicate")
    slope = spatial_gradient(smooth)[:, 0].norm(dim=1, keepdim=True)
    nearby = max_pool2d(slope, 2 * REACH + 1, stride=1, padding=REACH)
    return (1 / (1 + (nearby / SLOPE) ** 2)).clamp(min=LEAST)
