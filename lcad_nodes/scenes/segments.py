"""Real things in real photographs, with their outlines, to be painted in named colors.

`segments.json` lists them: for the stem of a photograph's file name the things in it from left to
right or from top to bottom, each with its name and one or more rough outlines (x, y, x, y, … in
hundredths of the photograph's width and height).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from kornia.filters import guided_blur
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .backgrounds import photo_files, readable
from .cutouts import Split, lab_of, shading

LIST = Path(__file__).with_name("segments.json")
RADIUS = 10  # pixels of the window in which the mask is fitted; it mends half as much or so
ROUNDS = 3
SMOOTHNESS = 3e-4  # variance of colors in [0, 1] below which there is no edge to follow

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""


@dataclass(frozen=True)
class Segment:
    """One thing in a photograph.

    Attributes:
        name: what it is.
        shading: RGBA as large as the photograph, as `CutOut.shading`.
    """

    name: str
    shading: Image.Image

    @cached_property
    def middle(self) -> NDArray[np.float64]:
        """x and y of the middle of its bounding box, in pixels."""
        left, top, right, bottom = self._alpha.getbbox() or (0, 0, 0, 0)
        return np.array([left + right, top + bottom]) / 2

    def share(self, box: Box) -> float:
        """How much of its area lies in a box."""
        left, top, right, bottom = (round(value) for value in box)
        inside = self._small.crop((left // 8, top // 8, right // 8, bottom // 8))
        return float(np.asarray(inside).sum() / np.asarray(self._small).sum())

    @cached_property
    def _alpha(self) -> Image.Image:
        return self.shading.getchannel("A")

    @cached_property
    def _small(self) -> Image.Image:
        return self._alpha.reduce(8)


@dataclass(frozen=True)
class SegmentedPhoto:
    """A photograph, RGB, and things in it from left to right or from top to bottom."""

    photo: Image.Image
    segments: tuple[Segment, ...]


def read_segmented(paths: Sequence[Path], split: Split) -> tuple[SegmentedPhoto, ...]:
    """The photographs of a split whose things `segments.json` outlines.

    Args:
        paths: image files, or folders to search through.
        split: as `backgrounds.read_photos`.
    """
    outlines = json.loads(LIST.read_text(encoding="utf-8"))
    files = [file for file in photo_files(paths, split) if file.stem in outlines]
    return tuple(_segment(photo, outlines[file.stem]) for file, photo in readable(files))


def _segment(photo: Image.Image, things: Sequence[dict]) -> SegmentedPhoto:
    pixels = np.asarray(photo)
    lab = lab_of(pixels)
    segments = []
    for thing in things:
        alpha = (_mend(_draw(thing["outlines"], photo.size), pixels) * 255).astype(np.uint8)
        segments.append(Segment(thing["name"], shading(lab, alpha)))
    return SegmentedPhoto(photo, tuple(segments))


def _draw(outlines: Sequence[Sequence[float]], size: tuple[int, int]) -> NDArray[np.float32]:
    """The rough mask of outlines, H,W of 0 and 1."""
    mask = Image.new("L", size)
    for outline in outlines:
        corners = np.array(outline).reshape(-1, 2) / 100 * size
        ImageDraw.Draw(mask).polygon([tuple(corner) for corner in corners.tolist()], fill=1)
    return np.asarray(mask, dtype=np.float32)


def _mend(mask: NDArray[np.float32], photo: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The mask with its edge moved onto the photograph's own, a few pixels soft.

    The guided filter (He et al., "Guided Image Filtering") fits the mask to the colors nearby;
    hardened and filtered again, it settles on the edge.
    """
    guide = torch.from_numpy(photo.copy()).movedim(-1, 0)[None].float() / 255
    mended = torch.from_numpy(mask.copy())[None, None]
    for _ in range(ROUNDS):
        mended = guided_blur(guide, mended, 2 * RADIUS + 1, SMOOTHNESS, subsample=4)
        mended = ((mended - 0.45) * 4 + 0.5).clamp(0, 1)
    return mended[0, 0].numpy()
