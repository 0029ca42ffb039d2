"""Photos into training samples: decoded, cropped, mirrored, with as much said as chance wants."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ...files.pictures import PictureError, read_picture
from ..config import DataConfig
from .captions import pick, tells_sides

HOPELESS = 1000


class DataError(ValueError):
    """There is nothing to train on where the configuration says; the message names it."""


@dataclass(frozen=True)
class Skipped:
    """A picture that cannot be read, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Sample:
    """One picture and what is said of it.

    Attributes:
        image: 3xHxW in [0, 1].
        text: the description; "" where there is none.
        skipped: pictures that could not be read and that this one stands in for.
        objects: phrases of the description, each with the mask, HxW, of what it speaks of; where
            masks are known. "" is the phrase of people's skin that it does not speak of.
    """

    image: Tensor
    text: str
    skipped: tuple[Skipped, ...] = ()
    objects: tuple[tuple[str, Tensor], ...] = ()


@dataclass(frozen=True)
class Photo:
    """A picture as it is stored.

    Attributes:
        name: what the log calls it.
        source: a path, or the encoded bytes; None: there is no picture.
        texts: its descriptions.
        reason: why there is no picture.
    """

    name: str
    source: Path | bytes | None
    texts: tuple[str, ...] = ()
    reason: str = "there is no picture of this name"


def augment(
    image: Image.Image, texts: tuple[str, ...], config: DataConfig, seed: list[int]
) -> Sample:
    """Crop and mirror a photo, and pick one of its descriptions, as chance and `config` say."""
    rng = np.random.default_rng(seed)
    share, x, y, mirror = rng.random(4)
    side = min(image.size) * (config.smallest_crop + (1 - config.smallest_crop) * share) ** 0.5
    left, top = x * (image.width - side), y * (image.height - side)
    cut = image.resize(
        (config.size, config.size),
        Image.Resampling.BICUBIC,
        box=(left, top, left + side, top + side),
        reducing_gap=2.0,
    )
    text = pick(texts, config.dropped, config.shortened, rng)
    if mirror < config.flipped and not any(map(tells_sides, texts)):
        cut = ImageOps.mirror(cut)
    return Sample(torch.from_numpy(np.array(cut)).movedim(-1, 0).float() / 255, text)


def readable(
    photos: Iterable[Photo], config: DataConfig
) -> Iterator[tuple[Photo, Image.Image, tuple[Skipped, ...]]]:
    """Yield one decoded photo for every photo: the next that can be read.

    So many come out as go in, and each depends on what follows alone: training can go on at any
    of them without decoding those before.

    Args:
        photos: to be read one after the other.
        config: says how large; a photo's smallest crop is read twice as large as its result.

    Yields:
        The photo, its picture, and what it stands in for.

    Raises:
        DataError: if a thousand in a row cannot be read.
    """
    least = ceil(2 * config.size / max(config.smallest_crop, 1e-6) ** 0.5)
    skipped: tuple[Skipped, ...] = ()
    for photo in photos:
        try:
            if photo.source is None:
                raise PictureError(photo.reason)
            image = read_picture(photo.source, least)
        except PictureError as error:
            skipped = (*skipped, Skipped(photo.name, str(error)))
            if len(skipped) == HOPELESS:
                raise DataError(
                    f"{HOPELESS} pictures in a row cannot be read, the last {photo.name}: {error}"
                ) from error
            continue
        for _ in range(1 + len(skipped)):
            yield photo, image, skipped
        skipped = ()
