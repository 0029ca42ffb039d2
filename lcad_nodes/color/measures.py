"""Figures of a picture: CIEDE2000, colorfulness, PSNR, SSIM, an object's mean color."""

import torch
from torch import Tensor

from .lab import ImageError, check_image, rgb_to_lab, row_bands

SSIM_WINDOW = 11
"""Side of the Gaussian window of SSIM, in px (Wang et al. 2004)."""
SSIM_LEAST = SSIM_WINDOW // 2 + 1
"""The shortest side that has an SSIM, in px."""


def delta_e2000(lab: Tensor, reference: Tensor) -> Tensor:
    """The color difference CIEDE2000 of every pixel (Sharma, Wu and Dalal 2005).

    Args:
        lab: B,3,H,W CIE Lab, floating point.
        reference: like `lab`.

    Returns:
        B,1,H,W; about 1 is just seen.

    Raises:
        ImageError: the shapes differ, or are not B,3,H,W, or a value is not finite.
    """
    _check_pair(lab, reference)
    (l1, a1, b1), (l2, a2, b2) = lab.unbind(1), reference.unbind(1)
    mean_ab = (torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * _saturation(mean_ab)
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    hue, turn = _hues(a1, b1, a2, b2)
    weight = (
        1
        - 0.17 * (hue - 30).deg2rad().cos()
        + 0.24 * (2 * hue).deg2rad().cos()
        + 0.32 * (3 * hue + 6).deg2rad().cos()
        - 0.20 * (4 * hue - 63).deg2rad().cos()
    )
    deviation = (mean_l - 50) ** 2
    light = (l2 - l1) / (1 + 0.015 * deviation / (20 + deviation).sqrt())
    chroma = (c2 - c1) / (1 + 0.045 * mean_c)
    tone = 2 * (c1 * c2).sqrt() * (turn / 2).deg2rad().sin() / (1 + 0.015 * mean_c * weight)
    rotation = 2 * _saturation(mean_c) * (60 * (-(((hue - 275) / 25) ** 2)).exp()).deg2rad().sin()
    square = light**2 + chroma**2 + tone**2 - rotation * chroma * tone
    return square.clamp(min=0).sqrt()[:, None]


def color_difference(image: Tensor, reference: Tensor) -> Tensor:
    """The mean CIEDE2000 of each picture, without the memory that all its pixels need at once.

    Args:
        image: B,3,H,W sRGB in [0, 1].
        reference: like `image`.

    Returns:
        B values.

    Raises:
        ImageError: the shapes differ, or are not B,3,H,W, or a value is not finite.
    """
    _check_pair(image, reference)
    total = torch.zeros(len(image), dtype=torch.float64)
    for band in row_bands(image):
        pair = (rgb_to_lab(picture[:, :, band]) for picture in (image, reference))
        total += delta_e2000(*pair).flatten(1).sum(dim=1).cpu()
    return (total / image[0, 0].numel()).to(image)


def colorfulness(image: Tensor) -> Tensor:
    """The colorfulness M3 of Hasler and Süsstrunk (2003): 0 for gray, about 100 for garish.

    Args:
        image: B,3,H,W sRGB in [0, 1].

    Returns:
        B values.

    Raises:
        ImageError: the shape is not B,3,H,W, the type not floating point, or a value not finite.
    """
    check_image(image, channels=3)
    red, green, blue = image.flatten(2).unbind(1)
    opponents = torch.stack([red - green, (red + green) / 2 - blue])
    spread, mean = torch.std_mean(opponents, dim=-1, correction=0)
    return 255 * (spread.norm(dim=0) + 0.3 * mean.norm(dim=0))


def psnr(image: Tensor, reference: Tensor) -> Tensor:
    """The peak signal-to-noise ratio of each picture in dB; infinite where both are equal.

    Args:
        image: B,3,H,W in [0, 1].
        reference: like `image`.

    Returns:
        B values.

    Raises:
        ImageError: the shapes differ, or are not B,3,H,W, or a value is not finite.
    """
    from kornia.losses import psnr_loss

    _check_pair(image, reference)
    pairs = zip(image, reference, strict=True)
    return torch.stack([-psnr_loss(one, other, max_val=1.0) for one, other in pairs])


def ssim(image: Tensor, reference: Tensor, peak: float) -> Tensor:
    """The structural similarity of each picture (Wang et al. 2004), channels averaged.

    Gaussian window of 11 px, borders reflected: the same value as torchmetrics gives.

    Args:
        image: B,C,H,W, H and W at least 6.
        reference: like `image`.
        peak: the largest value possible: 1 for sRGB, 100 for CIE L.

    Returns:
        B values, at most 1.

    Raises:
        ImageError: the shapes differ, H or W is below 6, or a value is not finite.
    """
    from kornia.metrics import ssim as ssim_map

    _check_pair(image, reference, channels=image.shape[1] if image.ndim == 4 else 3)
    if min(image.shape[2:]) < SSIM_LEAST:
        raise ImageError(
            f"The images are {tuple(image.shape)}; SSIM needs {SSIM_LEAST} px a side or more."
        )
    total = torch.zeros(len(image), dtype=torch.float64)
    for band in row_bands(image):
        first = max(0, band.start - SSIM_WINDOW // 2)  # what the window reaches beyond the band
        rows = slice(first, band.stop + SSIM_WINDOW // 2)
        similarity = ssim_map(image[:, :, rows], reference[:, :, rows], SSIM_WINDOW, peak)
        inside = similarity[:, :, band.start - first : band.stop - first]
        total += inside.flatten(1).sum(dim=1).cpu()
    return (total / image[0].numel()).to(image)


def mean_lab(image: Tensor, mask: Tensor) -> Tensor:
    """The mean CIE Lab of an object.

    Args:
        image: 3,H,W sRGB in [0, 1].
        mask: H,W in [0, 1], 1 where the object is.

    Returns:
        L, a*, b*.

    Raises:
        ImageError: the sizes differ, the mask is empty, or the image is not one.
    """
    if image.shape[1:] != mask.shape or not bool((mask > 0).any()):
        raise ImageError(
            f"The mask is {tuple(mask.shape)} and marks {int((mask > 0).sum())} px of an image of "
            f"{tuple(image.shape)}; it must be H x W and mark something."
        )
    rows, columns = (slice(int(i.min()), int(i.max()) + 1) for i in (mask > 0).nonzero().T)
    inside = mask[rows, columns]
    return (rgb_to_lab(image[None, :, rows, columns])[0] * inside).sum(dim=(1, 2)) / inside.sum()


def _saturation(chroma: Tensor) -> Tensor:
    seventh = chroma**7
    return (seventh / (seventh + 25.0**7)).sqrt()


def _hues(a1: Tensor, b1: Tensor, a2: Tensor, b2: Tensor) -> tuple[Tensor, Tensor]:
    """The mean hue of two colors and the turn from one to the other, in degrees.

    A color without chroma has no hue: then the turn is 0, and the mean the other's hue.
    """
    h1, h2 = (torch.atan2(b, a).rad2deg() % 360 for a, b in ((a1, b1), (a2, b2)))
    gray = ((a1 == 0) & (b1 == 0)) | ((a2 == 0) & (b2 == 0))
    turn = h2 - h1
    across = turn.abs() > 180
    mean = (h1 + h2) / 2
    mean = torch.where(across, torch.where(h1 + h2 < 360, mean + 180, mean - 180), mean)
    turn = torch.where(across, turn - 360 * turn.sign(), turn)
    return torch.where(gray, h1 + h2, mean), torch.where(gray, 0, turn)


def _check_pair(image: Tensor, reference: Tensor, channels: int = 3) -> None:
    check_image(image, channels=channels)
    check_image(reference, channels=channels)
    if image.shape != reference.shape:
        raise ImageError(
            f"The image is {tuple(image.shape)} and the reference {tuple(reference.shape)}; "
            "their shapes must be equal."
        )
