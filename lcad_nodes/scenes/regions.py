"""Scenes that are parts of photographs, with things in them painted."""

import numpy as np
from PIL import Image

from .arrangement import Arrangement, Placed, draw_colors, places_in_line
from .backgrounds import Size
from .recolor import Painter
from .segments import Box, SegmentedPhoto

SEEN, MOSTLY = 0.15, 0.6
"""Shares of a thing's area inside a crop: to count when places are named; to be painted."""

_BILINEAR = Image.Resampling.BILINEAR
_FLIP = Image.Transpose.FLIP_LEFT_RIGHT


class Regions:
    """Arranges parts of photographs.

    Args:
        photos: with their things outlined.
        painter: paints these.
    """

    def __init__(self, photos: tuple[SegmentedPhoto, ...], painter: Painter) -> None:
        self._photos = photos
        self._painter = painter

    def arrange(self, size: Size, rng: np.random.Generator) -> Arrangement:
        """Paint those things of a photograph that lie in a part of it."""
        chosen = self._photos[rng.integers(len(self._photos))]
        box = _around(chosen, size, rng)
        ground = chosen.photo.resize(size, Image.Resampling.BICUBIC, box)
        seen = [
            (segment.name, segment.shading.resize(size, _BILINEAR, box), share)
            for segment in chosen.segments
            if (share := segment.share(box)) > SEEN
        ]
        if rng.random() < 0.5:
            ground = ground.transpose(_FLIP)
            seen = [(name, shading.transpose(_FLIP), share) for name, shading, share in seen]
        seen.sort(key=lambda thing: _left_and_right(thing[1]))
        names = [name for name, _, _ in seen]
        same = len(seen) > 1 and len(set(names)) == 1
        colors = draw_colors(len(seen), rng, basic=False, same=same, painted=False)
        places = places_in_line(len(seen), axis=0) if seen else ()
        placed = []
        for (name, shading, share), color, place in zip(seen, colors, places, strict=True):
            if color and share > MOSTLY:
                left, top, right, bottom = shading.getbbox() or (0, 0, 0, 0)
                pixels = np.asarray(shading.crop((left, top, right, bottom)))
                image = Image.fromarray(self._painter.paint(pixels, color, rng))
                placed.append(Placed(image, (left, top), name, color, place))
        return Arrangement(ground, None, placed, same, real=True)


def _left_and_right(shading: Image.Image) -> int:
    """x of the middle of what is not transparent, twice."""
    left, _, right, _ = shading.getbbox() or (0, 0, 0, 0)
    return left + right


def _around(chosen: SegmentedPhoto, size: Size, rng: np.random.Generator) -> Box:
    """A box of a size's shape about one of a photograph's things: left, top, right, bottom."""
    whole, wanted = np.array(chosen.photo.size), np.array(size)
    extent = wanted * ((whole / wanted).min() * rng.uniform(0.75, 1.0))
    middle = chosen.segments[rng.integers(len(chosen.segments))].middle
    corner = middle - extent / 2 + rng.normal(0, 0.15, 2) * extent
    first = np.clip(corner, 0, whole - extent)
    left, top, right, bottom = *first.tolist(), *np.minimum(first + extent, whole).tolist()
    return left, top, right, bottom
