"""The pictures of a photograph, read at one size."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from torch import Tensor
from torchvision.transforms.functional import InterpolationMode, pil_to_tensor, resize

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
        fitted: which methods' pictures were of another size, and what was done.
    """

    truth: Tensor
    results: dict[str, Tensor]
    masks: list[Tensor]
    fitted: list[tuple[str, str]]


class Reader:
    """Reads the pictures of requests, each once if those of one photograph lie together."""

    def __init__(self, side: int | None, least: int) -> None:
        """Choose a size.

        Args:
            side: in px, of the squares that everything is scaled to; None: results are scaled to
                the size of their truth.
            least: side in px that a picture must have.
        """
        self._side, self._least = side, least
        self._read_truth = lru_cache(maxsize=1)(_read)

    def read(self, request: Request) -> Pictures:
        """Read all pictures of a request.

        Raises:
            CompareError: one cannot be read, or does not fit.
        """
        check_counts(request.masks, request.phrases)
        truth = self._read_truth(request.truth)
        own = _size(truth)
        size = (self._side, self._side) if self._side else own
        if min(size) < self._least:
            raise CompareError(f"{request.truth} is {_px(own)}, below {self._least} px a side.")
        results = {method: _read(file) for method, file in request.results.items()}
        fitted = [
            (method, STRETCHED if _is_stretched(_size(picture), own) else SCALED)
            for method, picture in results.items()
            if _size(picture) != own
        ]
        return Pictures(
            _scaled(truth, size),
            {method: _scaled(picture, size) for method, picture in results.items()},
            [read_mask(file, own, size) for file in request.masks],
            [(method, how) for method, how in fitted if how == STRETCHED or not self._side],
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


def _read(file: Path) -> Tensor:
    """A picture, 3,H,W in [0, 1]."""
    return _to_tensor(_read_whole(file))


def _read_whole(file: Path) -> Picture:
    try:
        return read_whole(file)
    except PictureError as error:
        raise CompareError(f"{file} cannot be read as a picture: {error}") from error


def _to_tensor(picture: Picture) -> Tensor:
    return pil_to_tensor(picture.rgb).float() / 255


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
    mask = (_to_tensor(picture).mean(dim=0, keepdim=True) > 0.5).float()
    if _size(mask) not in {own, size}:
        sizes = f"{_px(_size(mask))}, its photograph {_px(own)}"
        raise CompareError(f"{file} is {sizes}: they must be equal.")
    mask = _scaled(mask, size, InterpolationMode.NEAREST_EXACT)[0]
    if not mask.any():
        raise CompareError(
            f"{file} marks nothing at {_px(size)}: a mask is white (255) where the thing is."
        )
    return mask


def _scaled(
    picture: Tensor, size: Size, how: InterpolationMode = InterpolationMode.BILINEAR
) -> Tensor:
    if _size(picture) == size:
        return picture
    return resize(picture, list(size), how, antialias=True).clamp(0, 1)


def _is_stretched(size: Size, own: Size) -> bool:
    """Whether a picture has other proportions than its truth, by more than rounding."""
    (high, wide), (height, width) = size, own
    return min(abs(high - wide * height / width), abs(wide - high * width / height)) > 1


def _size(picture: Tensor) -> Size:
    height, width = picture.shape[-2:]
    return height, width


def _px(size: Size) -> str:
    return f"{size[1]} x {size[0]} px"
