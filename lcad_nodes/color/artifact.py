"""The artifact map: where a decoded image shows more than an even error."""

from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from .lab import ImageError

WINDOW = 7
POWER = 1 / 5


def artifact_map(
    image: Tensor, reference: Tensor, window: int = WINDOW, power: float = POWER
) -> Tensor:
    """How unevenly the error between two images lies around each pixel (L-CAD, section 3.1).

    The local variance (unbiased, over a 7x7 window, borders reflected) of the residual summed
    over RGB, times the fifth root of the residual's variance over the whole image. Gradients
    pass through all of it.

    Args:
        image: B,3,H,W, H and W more than half a window; any value range.
        reference: like `image`.
        window: side of the window in pixels, odd.
        power: of the whole image's variance; 0 leaves that factor out.

    Returns:
        B,1,H,W, zero or more.

    Raises:
        ImageError: the shapes differ, or are not B,3,H,W with H and W more than half a window.
    """
    _check(image, reference, window // 2 + 1)
    residual = (image - reference).abs().sum(dim=1, keepdim=True)
    # The root's slope is infinite at zero: two equal images would give NaN gradients.
    overall = residual.var(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
    return local_variance(residual, window) * overall**power


def local_variance(values: Tensor, window: int = WINDOW) -> Tensor:
    """Unbiased variance over the window around each pixel; B,1,H,W to B,1,H,W."""
    padded = pad(values, (window // 2,) * 4, mode="reflect")
    # Centered before squaring: E[x^2] - E[x]^2 of uncentered values loses its digits in float32.
    padded = padded - padded.mean(dim=(1, 2, 3), keepdim=True)
    mean = avg_pool2d(padded, window, stride=1)
    variance = avg_pool2d(padded * padded, window, stride=1) - mean * mean
    count = window * window
    return variance.clamp(min=0) * (count / (count - 1))


def _check(image: Tensor, reference: Tensor, least: int) -> None:
    if image.shape != reference.shape:
        raise ImageError(
            f"The image is {tuple(image.shape)} and the reference {tuple(reference.shape)}; "
            "their shapes must be equal."
        )
    if image.ndim != 4 or image.shape[1] != 3 or min(image.shape[2:]) < least:
        raise ImageError(
            f"The images are {tuple(image.shape)}; they must be B,3,H,W, H and W at least {least}."
        )
