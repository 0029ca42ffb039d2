"""People in clothes that take any color, read as `people` renders them."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageOps

from ..files.pictures import BROKEN
from .cutouts import Split, lab_of, shading, split_of

logger = logging.getLogger(__name__)

LEAST = 0.02
"""Share of a person's picture that a thing worn must fill to count."""
HAIR = "hair"
WHOLE = "whole"
"""The frame of a person who is seen from head to foot; others are cut off below."""


class PeopleError(ValueError):
    """A folder without people."""


@dataclass(frozen=True)
class Worn:
    """A thing worn: its name, and its `CutOut.shading`, as large as the person's picture."""

    name: str
    shading: Image.Image


@dataclass(frozen=True)
class DressedPerson:
    """One person.

    Attributes:
        who: "woman", "man", "girl" or "boy".
        whole: whether seen from head to foot, and not cut off below.
        image: RGBA, in natural colors.
        worn: what can be painted.
    """

    who: str
    whole: bool
    image: Image.Image
    worn: tuple[Worn, ...]

    def bare(self) -> Image.Image:
        """The picture without what can be painted."""
        rest = self.image.getchannel("A")
        for thing in self.worn:
            rest = ImageChops.subtract(rest, thing.shading.getchannel("A"))
        bare = self.image.copy()
        bare.putalpha(rest)
        return bare

    def mirrored(self) -> "DressedPerson":
        """The same, seen in a mirror."""
        worn = tuple(Worn(thing.name, ImageOps.mirror(thing.shading)) for thing in self.worn)
        return DressedPerson(self.who, self.whole, ImageOps.mirror(self.image), worn)

    def resized(self, size: tuple[int, int]) -> "DressedPerson":
        """The same in another size, width and height in pixels."""
        worn = tuple(Worn(thing.name, thing.shading.resize(size)) for thing in self.worn)
        return DressedPerson(self.who, self.whole, self.image.resize(size), worn)


def read_people(folders: Sequence[Path], split: Split) -> tuple[DressedPerson, ...]:
    """The people of a split in folders that `people` wrote, by name; a fifth is held out.

    What cannot be read is named in the log and left out.

    Raises:
        PeopleError: a folder does not exist, or has nobody of the split.
    """
    people: list[DressedPerson] = []
    for folder in folders:
        files = [
            file for file in sorted(folder.glob("*.json")) if split_of(Path(file.name)) == split
        ]
        read = [person for file in files if (person := _read(file))]
        if not read:
            raise PeopleError(f"There are no people of the split {split!r} in {folder}.")
        people += read
    return tuple(people)


def _read(file: Path) -> DressedPerson | None:
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        with Image.open(file.with_suffix(".png"), formats=("PNG",)) as opened:
            image = opened.convert("RGBA")
        with Image.open(file.with_suffix(".parts.png"), formats=("PNG",)) as opened:
            parts = opened.convert("RGB")
        box = image.getchannel("A").point([255 * (a > 24) for a in range(256)]).getbbox()
        image, parts = image.crop(box), parts.crop(box)
        lab = lab_of(np.asarray(image)[..., :3])
        shares = [np.asarray(share) for share in parts.split()]
        worn = tuple(
            Worn(name, shading(lab, share))
            for name, share in zip(about["worn"], shares, strict=False)
            if (share > 127).mean() > LEAST
        )
        return DressedPerson(about["who"], about["frame"] == WHOLE, image, worn)
    except (*BROKEN, KeyError, TypeError, Image.DecompressionBombError) as error:
        logger.warning("%s or its pictures cannot be read and are left out: %s", file, error)
        return None
