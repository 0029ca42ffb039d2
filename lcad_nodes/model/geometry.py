"""From a photo's size to the size that the networks work at, and back."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn.functional import interpolate, pad

LATENT_PIXEL = 8
"""Pixels along one side of a latent pixel; sides are padded to multiples of it, and no further:
the host stretches noise masks and areas over photo and padding together."""
SMALLEST = 64
"""Shortest padded side: below it, the UNet's deepest level would have less than one position."""

LONGEST = 16_384
"""Longest working side in px, as of the node's `resolution`."""

Size = tuple[int, int]
Scaling = Literal["bilinear", "nearest-exact"]


class GeometryError(ValueError):
    """An image does not have the size that it should have; the message names both."""


@dataclass(frozen=True)
class Geometry:
    """How a photo lies in the networks' input: scaled, then padded below and right.

    Attributes:
        original: the photo's height and width in px.
        working: the same scaled to the working resolution; its longer side may be squeezed.
        padded: the working size with both sides filled up to multiples of 8, and to 64 at least.
    """

    original: Size
    working: Size
    padded: Size

    @classmethod
    def fit(cls, original: Size, resolution: int, squeeze: float = 1.0) -> "Geometry":
        """Choose the working size of a photo.

        Args:
            original: its height and width in px.
            resolution: the shorter side of the working size in px; 0: the photo's own.
            squeeze: by how much the longer side may be shortened, at least 1, to come closer to
                a square; 1 keeps the aspect.

        Raises:
            GeometryError: if the longer side would be worked on at more than `LONGEST` px, and more
                than the photo has: a strip of a few pixels would become a gigantic picture.
        """
        shorter = min(original)
        scale = resolution / shorter if resolution else 1.0
        height, width = (max(1, round(max(shorter, side / squeeze) * scale)) for side in original)
        if max(height, width) > max(LONGEST, *original):
            raise GeometryError(
                f"the photo is {original[0]} x {original[1]} px (height x width), so narrow that "
                f"at a resolution of {resolution} px it would be worked on at {height} x {width} "
                "px: choose a lower resolution, or 0, or crop it"
            )
        return cls(original, (height, width), (_filled_up(height), _filled_up(width)))

    @property
    def latent(self) -> Size:
        """Height and width of the latent."""
        return self.padded[0] // LATENT_PIXEL, self.padded[1] // LATENT_PIXEL

    def place(self, image: Tensor, mode: Scaling) -> Tensor:
        """Scale to the working size and fill the padding with the nearest edge's values.

        Args:
            image: BxCxHxW of the original size.
            mode: how to scale; bilinear averages where it shrinks.

        Returns:
            BxCxHxW of the padded size.

        Raises:
            GeometryError: if the image is not of the original size.
        """
        _check_size(image, self.original)
        rows, columns = self.padded[0] - self.working[0], self.padded[1] - self.working[1]
        return pad(_resize(image, self.working, mode), (0, columns, 0, rows), mode="replicate")

    def unpad(self, image: Tensor) -> Tensor:
        """Cut the padding off.

        Args:
            image: BxCxHxW of the padded size.

        Returns:
            BxCxHxW of the working size.

        Raises:
            GeometryError: if the image is not of the padded size.
        """
        _check_size(image, self.padded)
        return image[:, :, : self.working[0], : self.working[1]]

    def restore(self, image: Tensor) -> Tensor:
        """Cut the padding off and scale to the photo's own size.

        Args:
            image: BxCxHxW of the padded size.

        Returns:
            BxCxHxW of the original size.

        Raises:
            GeometryError: if the image is not of the padded size.
        """
        return _resize(self.unpad(image), self.original, "bilinear")

    def thumbnail(self, longest: int) -> Size:
        """Choose a size to show the photo at, its longer side at most `longest` px."""
        scale = min(1.0, longest / max(self.original))
        height, width = (max(1, round(side * scale)) for side in self.original)
        return height, width

    def from_latent(self, maps: Tensor, longest: int) -> Tensor:
        """Show maps on the latent's grid as they lie on the photo.

        Args:
            maps: BxCxhxw on the latent's grid, padding and all.
            longest: see `thumbnail`.

        Returns:
            BxCxHxW of the thumbnail's size.
        """
        size = self.thumbnail(longest)
        sides = zip(size, self.working, self.padded, strict=True)
        padded = [max(shown, round(shown * whole / part)) for shown, part, whole in sides]
        return interpolate(maps, padded, mode="bilinear")[:, :, : size[0], : size[1]]


def in_proportion(size: Size, photo: Size) -> bool:
    """Whether a picture has a photo's proportions, up to one of its pixels."""
    return 2 * abs(size[0] * photo[1] - size[1] * photo[0]) <= sum(photo)


def _filled_up(side: int) -> int:
    return max(SMALLEST, -(-side // LATENT_PIXEL) * LATENT_PIXEL)


def _resize(image: Tensor, size: Size, mode: Scaling) -> Tensor:
    if image.shape[2:] == size:
        return image
    return interpolate(image, size, mode=mode, antialias=mode == "bilinear")


def _check_size(image: Tensor, size: Size) -> None:
    if tuple(image.shape[2:]) != size:
        raise GeometryError(
            f"an image of {image.shape[2]} x {image.shape[3]} px (height x width) where one of "
            f"{size[0]} x {size[1]} px belongs"
        )
