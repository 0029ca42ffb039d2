"""CIE Lab (D65) of sRGB images, as tensors B,C,H,W."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor
from torch.nn.functional import pad

BAND_PIXELS = 1 << 19
"""Pixels that are worked on at a time, where a large scan would need much memory otherwise."""


class ImageError(ValueError):
    """An image tensor that cannot be read as colors: wrong shape, type or values."""


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """CIE Lab of an sRGB image.

    Args:
        rgb: B,3,H,W, floating point, in [0, 1].

    Returns:
        B,3,H,W: L in [0, 100], a* and b* in about [-110, 110].

    Raises:
        ImageError: the shape is not B,3,H,W, the type not floating point, or a value not finite.
    """
    from kornia import color  # takes half a second: not before a picture is made

    check_image(rgb, channels=3)
    with exact(rgb):
        return color.rgb_to_lab(rgb)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """sRGB of a CIE Lab image; what lies outside the gamut is clipped channel by channel.

    Args:
        lab: B,3,H,W, floating point, L in [0, 100].

    Returns:
        B,3,H,W in [0, 1].

    Raises:
        ImageError: the shape is not B,3,H,W, the type not floating point, or a value not finite.
    """
    from kornia import color

    check_image(lab, channels=3)
    with exact(lab):
        return color.lab_to_rgb(lab)


def lightness(rgb: Tensor) -> Tensor:
    """CIE L of an sRGB image: B,3,H,W in [0, 1] to B,1,H,W in [0, 100].

    One photo after the other: the last digits depend on how PyTorch divides the work, and a photo
    out of a batch is to be the same as alone.

    Raises:
        ImageError: as `rgb_to_lab`.
    """
    check_image(rgb, channels=3)
    result = torch.empty_like(rgb[:, :1])
    for photo, level in zip(rgb.split(1), result.split(1), strict=True):
        for band in row_bands(photo):
            level[:, :, band] = rgb_to_lab(photo[:, :, band])[:, :1]
    return result


def gray(lightness: Tensor) -> Tensor:
    """The gray sRGB image of a lightness: B,1,H,W in [0, 100] to B,3,H,W in [0, 1].

    Its three channels are one in memory, so it is not to be written into.

    Raises:
        ImageError: the shape is not B,1,H,W, the type not floating point, or a value not finite.
    """
    check_image(lightness, channels=1)
    result = torch.empty_like(lightness)
    for band in row_bands(lightness):
        neutral = lab_to_rgb(pad(lightness[:, :, band], (0, 0, 0, 0, 0, 2)))
        result[:, :, band] = neutral[:, :1]  # Kornia's green is a hair less than its red
    return result.expand(-1, 3, -1, -1)


def row_bands(image: Tensor, progress: Callable[[float], None] | None = None) -> Iterator[slice]:
    """Slices of rows of B,C,H,W, of at most about `BAND_PIXELS` pixels each, top to bottom.

    After each, `progress` is told which share of the rows is done, in [0, 1].
    """
    rows = max(1, BAND_PIXELS // (image.shape[0] * image.shape[3]))
    for top in range(0, image.shape[2], rows):
        bottom = min(top + rows, image.shape[2])
        yield slice(top, bottom)
        if progress is not None:
            progress(bottom / image.shape[2])


def check_image(image: Tensor, *, channels: int) -> None:
    """Raise `ImageError` unless `image` is a finite, floating-point B,`channels`,H,W."""
    if image.ndim != 4 or image.shape[1] != channels:
        shape = "x".join(map(str, image.shape))
        raise ImageError(f"The image's shape is {shape}; it must be B x {channels} x H x W.")
    if not image.is_floating_point():
        raise ImageError(f"The image's type is {image.dtype}; it must be floating point.")
    # In bands: of what does not lie in one piece, `aminmax` makes a copy.
    bands = row_bands(image) if image.numel() else ()
    extremes = [extreme for band in bands for extreme in image[:, :, band].aminmax()]
    if not all(extreme.isfinite() for extreme in extremes):
        count = int((~image.isfinite()).sum())
        raise ImageError(f"The image has {count} values that are NaN or infinite.")


@contextmanager
def exact(image: Tensor) -> Iterator[None]:
    """Keep rounding off colors, wherever `image` is.

    Mixed precision, as in training, is bfloat16 and moves a* by up to 3. On a GPU Kornia's matrices
    and filters are convolutions, whose factors NVIDIA's round to ten bits: white would be lighter
    than 100.
    """
    device = image.device.type
    mixed = torch.amp.autocast_mode.is_autocast_available(device)
    with (
        torch.autocast(device, enabled=False) if mixed else nullcontext(),
        torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
    ):
        yield
