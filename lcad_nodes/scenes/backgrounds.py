"""What objects are put on: made-up surfaces, and photographs."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ..files.pictures import PictureError, files_below, read_picture, shrunk
from .cutouts import Split, split_of
from .recolor import Painter, draw_terms, to_rgb

PHOTO_SIDE = 384
HUES = (75.0, 255.0, 135.0)
"""Of most surfaces, most frequent first, in degrees: wood, stone and skin; sky; plants."""
PHOTO_TYPES = frozenset({".jpg", ".jpeg", ".png", ".webp"})

STUDIO = 0.12
"""Share of the grounds drawn freely that are light backdrops, nearly without color."""

Size = tuple[int, int]
"""Width and height in pixels."""
Field = NDArray[np.uint8]
_BICUBIC = Image.Resampling.BICUBIC

logger = logging.getLogger(__name__)


class PhotosError(ValueError):
    """Paths without usable photographs."""


def read_photos(paths: Sequence[Path], split: Split) -> tuple[Image.Image, ...]:
    """The photographs of a split, RGB, their shorter side at most 384 pixels.

    Args:
        paths: image files, or folders to search through.
        split: a fifth of the photographs, by a hash of their file names, is held out.

    Raises:
        PhotosError: a path does not exist, or none of the photographs that can be read is of this
            split.
    """
    photos = tuple(photo for _, photo in readable(photo_files(paths, split)))
    if paths and not photos:
        raise PhotosError(
            f"No {split} photograph is in {', '.join(map(str, paths))}: a fifth is held out, by "
            "name, and names that differ in a last number below 1000 stay together. Name others."
        )
    return photos


def photo_files(paths: Sequence[Path], split: Split) -> list[Path]:
    """The image files of a split at or below the paths, sorted.

    Raises:
        PhotosError: a path does not exist.
    """
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise PhotosError(f"There are no photographs at {', '.join(missing)}.")
    return sorted(
        file
        for path in paths
        for file in (files_below(path) if path.is_dir() else [path])
        if file.suffix.lower() in PHOTO_TYPES and split_of(Path(file.name)) == split
    )


def readable(files: Iterable[Path]) -> Iterator[tuple[Path, Image.Image]]:
    """The photographs of files, RGB, their shorter side at most 384 pixels.

    Those that cannot be read are skipped, named and counted.
    """
    skipped = 0
    for file in files:
        try:
            photo = shrunk(read_picture(file), PHOTO_SIDE)
        except PictureError as error:
            skipped += 1
            logger.warning("skipped %s (%s); %d so far", file, error, skipped)
        else:
            yield file, photo


def crop(photo: Image.Image, size: Size, rng: np.random.Generator) -> Image.Image:
    """A random part of a photograph, scaled to a size, mirrored at random."""
    whole, wanted = np.array(photo.size), np.array(size)
    extent = wanted * ((whole / wanted).min() * rng.uniform(0.55, 1.0))
    corner = rng.uniform(0, whole - extent)
    part = photo.resize(size, _BICUBIC, box=(*corner, *np.minimum(corner + extent, whole)))
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part


def surface(size: Size, painter: Painter, rng: np.random.Generator) -> Image.Image:
    """A background: a gradient, clouds, a texture, or floor and wall."""
    kind = rng.choice(["gradient", "clouds", "texture", "room"], p=[0.35, 0.2, 0.2, 0.25])
    if kind == "gradient":
        return _gradient(size, painter, rng)
    if kind == "room":
        return _room(size, painter, rng)
    field = _clouds(size, rng) if kind == "clouds" else _texture(size, rng)
    return _paint(field, painter, rng)


def plain(size: Size, lab: NDArray[np.float64], rng: np.random.Generator) -> Image.Image:
    """A surface of one color, lit unevenly."""
    light = rng.normal(0, 3.5, (3, 3))
    colors = np.repeat(lab[None], 9, axis=0)
    colors[:, 0] = (colors[:, 0] + light.ravel()).clip(2, 98)
    return _enlarge(to_rgb(colors).reshape(3, 3, 3), size)


def studio(size: Size, painter: Painter, rng: np.random.Generator) -> Image.Image:
    """A light backdrop without seams or much color, as things are photographed before."""
    lab = np.array([[rng.uniform(65, 97), *rng.normal(0, 4, 2)]])
    return plain(size, painter.limit(lab)[0], rng)


def _random_color(painter: Painter, rng: np.random.Generator) -> NDArray[np.float64]:
    """A Lab color as surfaces have it: muted, mostly warm, at times saturated."""
    chroma = rng.uniform(30, 75) if rng.random() < 0.05 else rng.gamma(1.6, 6.0)
    hue = rng.choice([*HUES, rng.uniform(0, 360)], p=[0.55, 0.2, 0.1, 0.15])
    angle = np.radians(rng.normal(hue, 18))
    lab = np.array([[rng.uniform(8, 96), chroma * np.cos(angle), chroma * np.sin(angle)]])
    return painter.limit(lab)[0]


def _near_color(
    color: NDArray[np.float64], painter: Painter, rng: np.random.Generator
) -> NDArray[np.float64]:
    change = rng.normal(0, [16, 9, 9])
    return painter.limit((color + change).clip([3, -90, -90], [98, 90, 90])[None])[0]


def _gradient(size: Size, painter: Painter, rng: np.random.Generator) -> Image.Image:
    cells = int(rng.integers(2, 5))
    first = _random_color(painter, rng)
    colors = np.stack([_near_color(first, painter, rng) for _ in range(cells * cells)])
    return _enlarge(to_rgb(colors).reshape(cells, cells, 3), size)


def _room(size: Size, painter: Painter, rng: np.random.Generator) -> Image.Image:
    """A wall above a floor."""
    wall, floor = (
        _paint(_texture(size, rng), painter, rng)
        if rng.random() < 0.4
        else _gradient(size, painter, rng)
        for _ in range(2)
    )
    width, height = size
    horizon = int(height * rng.uniform(0.35, 0.8))
    wall.paste(floor.crop((0, horizon, width, height)), (0, horizon))
    return wall


def _paint(field: Field, painter: Painter, rng: np.random.Generator) -> Image.Image:
    first = _random_color(painter, rng)
    palette = painter.ramp(first, _near_color(first, painter, rng))
    return Image.fromarray(palette[field])


def _clouds(size: Size, rng: np.random.Generator) -> Field:
    """Noise of several scales, uint8."""
    total = np.zeros(size[::-1], np.float32)
    for cells, weight in ((3, 1.0), (7, 0.5), (17, 0.3)):
        grid = rng.integers(0, 256, (cells, cells), dtype=np.uint8)
        total += weight * np.asarray(Image.fromarray(grid).resize(size, _BICUBIC))
    return (total / 1.8).clip(0, 255).astype(np.uint8)


def _texture(size: Size, rng: np.random.Generator) -> Field:
    """Stripes, checks, woven cloth or wood, uint8."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / min(size)
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    u = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
    v = y * np.float32(np.cos(angle)) - x * np.float32(np.sin(angle))
    clouds = _clouds(size, rng).astype(np.float32) / 255
    kind = rng.choice(["stripes", "checks", "cloth", "wood"])
    count = np.float32(rng.uniform(3, 14) * np.pi)
    if kind == "stripes":
        wave = np.tanh(3 * np.sin(u * count))
    elif kind == "checks":
        wave = np.tanh(9 * np.sin(u * count) * np.sin(v * count))
    elif kind == "cloth":
        wave = np.sin(u * count * 6) * np.sin(v * count * 6)
    else:
        wave = np.sin((u * count + 2 * clouds) * 3) * 0.6 + 0.4 * np.sin(u * count * 11)
    return ((wave * 0.42 + 0.5) * 215 + 40 * clouds).clip(0, 255).astype(np.uint8)


def _enlarge(colors: NDArray[np.uint8], size: Size) -> Image.Image:
    return Image.fromarray(colors).resize(size, _BICUBIC)


class Grounds:
    """Draws what objects are put on.

    Args:
        photos: photographs for it; there may be none.
        painter: paints the rest.
    """

    def __init__(self, photos: tuple[Image.Image, ...], painter: Painter) -> None:
        self._photos = photos
        self._painter = painter

    def draw(
        self, size: Size, rng: np.random.Generator, *, natural: bool, basic: bool
    ) -> tuple[Image.Image, str | None]:
        """Draw a background; and its color's name where it has one.

        Args:
            size: in pixels.
            rng: draws.
            natural: a photograph as it is, if there are any.
            basic: colors that are named are basic ones, and it is no backdrop.
        """
        if not basic and not natural and rng.random() < STUDIO:
            return studio(size, self._painter, rng), None
        if self._photos and (natural or rng.random() < 0.5):
            photo = crop(self._photos[rng.integers(len(self._photos))], size, rng)
            if not natural and rng.random() < 0.35:
                photo = photo.filter(ImageFilter.BoxBlur(rng.uniform(1, 5)))
            return photo, None
        if rng.random() < 0.3:
            term = draw_terms(1, rng, basic=basic, apart=False)[0]
            return plain(size, self._painter.draw(term, rng), rng), term
        return surface(size, self._painter, rng), None
