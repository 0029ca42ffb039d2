"""Real photographs of outlined things, described in colors that need not be their own."""

from collections.abc import Container, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from ..color.names import TERMS
from ..files.pictures import shrunk
from .arrangement import places_in_line
from .builder import Scene, SceneObject
from .captions import Mention, describe
from .cutouts import Split
from .segments import SegmentedPhoto, read_segmented

DESCRIPTIONS = 8
"""How many colorings of every photograph are asked for."""


def describe_photos(
    paths: Sequence[Path], split: Split, side: int, counts: Container[int]
) -> Iterator[list[Scene]]:
    """Every photograph of some outlined things, under several descriptions.

    Args:
        paths: image files, or folders to search through.
        split: which of them.
        side: the shorter side in px to shrink them to.
        counts: how many things to describe, of 1 to 3.

    Yields:
        Scenes of one photograph, with its own colors for the image.
    """
    for number, photo in enumerate(read_segmented(paths, split)):
        if len(photo.segments) in counts:
            rng = np.random.default_rng(number)
            small = _shrink(photo, side)
            yield [_describe(*small, rng) for _ in range(DESCRIPTIONS)]


def _shrink(
    photo: SegmentedPhoto, side: int
) -> tuple[torch.Tensor, list[tuple[str, torch.Tensor]]]:
    """The picture, 3,H,W in [0, 1], and what is in it: names and masks, H,W of 0 and 1."""
    small = shrunk(photo.photo, side)
    things = [
        (thing.name, _mask(thing.shading.getchannel("A").resize(small.size)))
        for thing in photo.segments
    ]
    return pil_to_tensor(small) / 255, things


def _mask(alpha: Image.Image) -> torch.Tensor:
    return (pil_to_tensor(alpha)[0] > 127).float()


def _describe(
    image: torch.Tensor, things: Sequence[tuple[str, torch.Tensor]], rng: np.random.Generator
) -> Scene:
    colors = [str(term) for term in rng.choice(TERMS, len(things), replace=False)]
    places = places_in_line(len(things), _axis([mask for _, mask in things]))
    mentions = [
        Mention(name, color, place)
        for (name, _), color, place in zip(things, colors, places, strict=True)
    ]
    text, phrases = describe(mentions, None, rng)
    objects = [
        SceneObject(name, color, phrase, mask)
        for (name, mask), color, phrase in zip(things, colors, phrases, strict=True)
    ]
    return Scene(image, text, tuple(objects))


def _axis(masks: Sequence[torch.Tensor]) -> int:
    """Whether things lie in a row (0) or a column (1)."""
    centers = torch.stack([mask.nonzero().float().mean(dim=0) for mask in masks])
    spread = centers.amax(dim=0) - centers.amin(dim=0)
    return int(spread[1] < spread[0])
