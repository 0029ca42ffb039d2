"""The pictures of a photograph, read at one size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from ..files.pictures import Picture, PictureError, read_whole
from .matching import Request
from .naming import CompareError

SCALED = "scaled to the size of the truth"
STRETCHED = "stretched to the truth's proportions, right only if they had been squeezed"

Size = tuple[int, int]
"""Height and width in px."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """The pictures of a request, of one size.

    Attributes:
        truth: 3,H,W in [0, 1].
        results: by method, likewise.
        masks: H,W of 0 and 1.
        fitted: what was done, by method, to pictures of another size.
    """

    truth: Tensor
    results: dict[str, Tensor]
    masks: list[Tensor]
    fitted: dict[str, str]


def read(request: Request, side: int | None, least: int) -> Pictures:
    """Read all pictures of a request.

    Args:
        request: which.
        side: in px, of the squares that everything is scaled to; None: results are scaled to the
            size of their truth.
        least: side in px that a picture must have.

    Raises:
        CompareError: one cannot be read, or does not fit.
    """
    check_counts(request.masks, request.phrases)
    truth = _read(request.truth)
    own = _size(truth)
    size = (side, side) if side else own
    if min(size) < least:
        raise CompareError(f"{request.truth} is {_px(own)}, below {least} px a side.")
    results = {method: _read(file) for method, file in request.results.items()}
    fitted = {
        method: STRETCHED if _is_stretched(_size(picture), own) else SCALED
        for method, picture in results.items()
        if _size(picture) != own
    }
    return Pictures(
        to_tensor(scaled(truth, size)),
        {method: to_tensor(scaled(picture, size)) for method, picture in results.items()},
        [read_mask(file, own, size) for file in request.masks],
        {method: how for method, how in fitted.items() if how == STRETCHED or not side},
    )


def check_counts(masks: Sequence[Path], phrases: Sequence[str]) -> None:
    """Compare a description's masks with its phrases.

    Raises:
        CompareError: there are both, and not as many of one as of the other.
    """
    if masks and phrases and len(masks) != len(phrases):
        raise CompareError(
            f"it has {len(masks)} masks, but its phrases, or the comma-separated parts of its "
            f"description, are {len(phrases)} ({', '.join(phrases)}): there must be one mask for "
            "each."
        )


def scaled(
    picture: Image.Image, size: Size, how: Image.Resampling = Image.Resampling.BICUBIC
) -> Image.Image:
    """Scale a picture of eight bits; whatever makes or measures pictures does it so, and first.

    One filter for both, or else a photograph's true colors, colorized at a size and compared at
    it, would not be the truth. It is Pillow's bicubic one, on eight bits, as in CLIP's pipeline: it
    does not alias where it shrinks, and figures of pictures that were shrunk by filters that do
    are wrong (Parmar, Zhang and Zhu 2022).

    Args:
        picture: of eight bits a channel.
        size: asked for; a picture of that size stays as it is.
        how: the filter; masks have no values between.
    """
    return picture.resize((size[1], size[0]), how)


def to_tensor(picture: Image.Image) -> Tensor:
    """A picture of eight bits as C,H,W in [0, 1]."""
    return pil_to_tensor(picture).float() / 255


def _read(file: Path) -> Image.Image:
    return _read_whole(file).rgb


def _read_whole(file: Path) -> Picture:
    try:
        return read_whole(file)
    except PictureError as error:
        raise CompareError(f"{file} cannot be read as a picture: {error}") from error


def read_mask(file: Path, own: Size, size: Size) -> Tensor:
    """A mask, H,W of 0 and 1, 1 where the file is white.

    Args:
        file: of the size of its photograph, or of that asked for.
        own: its photograph's.
        size: asked for.

    Raises:
        CompareError: it cannot be read, is of neither size, or marks nothing.
    """
    picture = _read_whole(file)
    if picture.alpha is not None:
        raise CompareError(f"{file} is transparent in places: a mask is white on black.")
    if _size(picture.rgb) not in {own, size}:
        sizes = f"{_px(_size(picture.rgb))}, its photograph {_px(own)}"
        raise CompareError(f"{file} is {sizes}: they must be equal.")
    white = to_tensor(scaled(picture.rgb, size, Image.Resampling.NEAREST)).mean(dim=0)
    mask = (white > 0.5).float()
    if not mask.any():
        raise CompareError(
            f"{file} marks nothing at {_px(size)}: a mask is white (255) where the thing is."
        )
    return mask


def _is_stretched(size: Size, own: Size) -> bool:
    """Whether a picture has other proportions than its truth, by more than rounding."""
    (high, wide), (height, width) = size, own
    return min(abs(high - wide * height / width), abs(wide - high * width / height)) > 1


def _size(picture: Image.Image) -> Size:
    return picture.height, picture.width


def _px(size: Size) -> str:
    return f"{size[1]} x {size[0]} px"
