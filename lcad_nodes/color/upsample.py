"""Colors made at a small size, carried to the photo's full size along the photo's own edges."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .lab import ImageError, check_image, exact, row_bands

WINDOW = 5
"""Side of the window in which color is taken for linear in lightness, in px of the small size."""
GRAIN = 3.0
"""Standard deviation of CIE L below which a window counts as flat: grain, not an edge."""


def carry_colors(
    image: Tensor, lightness: Tensor, progress: Callable[[float], None] | None = None
) -> Tensor:
    """Enlarge a small color image, its edges as sharp as those of the photo's lightness.

    In a small window a color is a linear function of lightness (the guided filter's model, He et
    al. 2010). Slope and offset are found at the small size, interpolated, and applied to the
    lightness at full size (He and Sun 2015). The offset is such that the small image's own pixels
    are met: `kornia.filters.guided_blur`, which averages it too, blurs the colors themselves.
    Worked in bands of rows, so that a large scan needs little memory beyond its result.

    Args:
        image: B,3,h,w sRGB, floating point, in [0, 1].
        lightness: B,1,H,W CIE L in [0, 100] of the same picture; H and W at least h and w.
        progress: told after every band which share of the rows is done, in [0, 1].

    Returns:
        B,3,H,W sRGB in [0, 1]; `image` itself where H and W are h and w.

    Raises:
        ImageError: a value is not finite, or the shapes do not fit.
    """
    _check(image, lightness)
    height, width = lightness.shape[2:]
    if image.shape[2:] == lightness.shape[2:]:
        return image
    slope, offset = _line(image, lightness)
    columns = interpolate(torch.cat([slope, offset], 1), (image.shape[2], width), mode="bilinear")
    result = image.new_empty(image.shape[0], 3, height, width)
    for band in row_bands(result, progress):
        slope, offset = _enlarged_rows(columns, band, height).chunk(2, dim=1)
        result[:, :, band] = slope.mul_(lightness[:, :, band]).add_(offset).clamp_(0, 1)
    return result


def _line(image: Tensor, lightness: Tensor) -> tuple[Tensor, Tensor]:
    """Fit image = slope * lightness + offset around every pixel of the small size: B,3,h,w each."""
    small = interpolate(lightness, image.shape[2:], mode="bilinear", antialias=True)
    level = small - small.mean(dim=(2, 3), keepdim=True)  # squares of large values lose digits
    mean = _window_mean(level)
    variance = _window_mean(level * level) - mean * mean
    covariance = _window_mean(level * image) - mean * _window_mean(image)
    slope = _window_mean(covariance / (variance + GRAIN**2))
    return slope, image - slope * small


def _window_mean(values: Tensor) -> Tensor:
    from kornia.filters import box_blur

    with exact(values):
        return box_blur(values, WINDOW, border_type="replicate")


def _enlarged_rows(values: Tensor, band: slice, height: int) -> Tensor:
    """Enlarge `values` to `height` rows, bilinear, but only the rows of `band`."""
    rows = torch.arange(band.start, band.stop, device=values.device)
    position = ((rows + 0.5) * (values.shape[2] / height) - 0.5).clamp(0, values.shape[2] - 1)
    above = position.long()
    below = (above + 1).clamp(max=values.shape[2] - 1)
    return torch.lerp(values[:, :, above], values[:, :, below], (position - above)[:, None])


def _check(image: Tensor, lightness: Tensor) -> None:
    check_image(image, channels=3)
    check_image(lightness, channels=1)
    sizes = zip(image.shape[2:], lightness.shape[2:], strict=True)
    if image.shape[0] != lightness.shape[0] or any(small > large for small, large in sizes):
        raise ImageError(
            f"The image is {tuple(image.shape)} and the lightness {tuple(lightness.shape)}; they "
            "must have one batch size, and the lightness must not be smaller."
        )
