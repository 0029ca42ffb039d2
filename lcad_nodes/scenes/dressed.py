"""Scenes of people, read as `people` renders them, in clothes that are painted."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageOps

from ..files.pictures import BROKEN
from .arrangement import Arrangement, Layout, Placed, places_in_line
from .backgrounds import Grounds, Size
from .cutouts import Split, lab_of, shading, split_of
from .recolor import Painter, draw_terms
from .shadows import darken, soft_shadow

logger = logging.getLogger(__name__)

LEAST = 0.02
"""Share of a person's picture that a thing worn must fill to count."""
SKIN, HAIR = "skin", "hair"
TOLD_SKIN = 0.5
"""Share of the people in scenes drawn freely whose skin is told of, unless they are seen whole."""
TONES = (("light", "fair", "pale"), ("light", "fair"), ("medium",), ("dark",), ("dark",))
"""What skin of each tone is called; any is natural, too."""
ALL_NATURAL, PAINTED, DYED = 0.3, 0.75, 0.15
"""Shares of scenes of people that nothing is painted in; of clothes, and of hair, of the others."""
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
        skin: what it is called, one of `TONES`.
        whole: whether seen from head to foot, and not cut off below.
        image: RGBA, in natural colors.
        worn: what can be painted.
    """

    who: str
    skin: tuple[str, ...]
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

    def changed(self, change: Callable[[Image.Image], Image.Image]) -> "DressedPerson":
        """The same with its picture, and those of what is worn, mirrored or resized alike."""
        worn = tuple(Worn(thing.name, change(thing.shading)) for thing in self.worn)
        return replace(self, image=change(self.image), worn=worn)


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
        return DressedPerson(
            about["who"], TONES[about["tone"]], about["frame"] == WHOLE, image, worn
        )
    except (*BROKEN, LookupError, TypeError, Image.DecompressionBombError) as error:
        logger.warning("%s or its pictures cannot be read and are left out: %s", file, error)
        return None


class People:
    """Arranges people.

    Args:
        people: all there are.
        grounds: what they are put before.
        painter: paints what they wear.
    """

    def __init__(
        self, people: tuple[DressedPerson, ...], grounds: Grounds, painter: Painter
    ) -> None:
        self._people = people
        self._grounds = grounds
        self._painter = painter

    def arrange(
        self,
        size: Size,
        count: int,
        rng: np.random.Generator,
        *,
        basic: bool = False,
        natural: bool = False,
    ) -> Arrangement:
        """Put people side by side before a background, with some of what they wear painted.

        Args:
            size: of the scene.
            count: how many people.
            rng: draws.
            basic: to measure with: one thing that each wears is painted, in one of the eleven basic
                colors, and their skin is an object that is not told of.
            natural: nothing is painted.
        """
        ground, ground_color = self._grounds.draw(size, rng, natural=False, basic=basic)
        layout = Layout(size, count, axis=0)
        share = 0 if natural or (not basic and rng.random() < ALL_NATURAL) else 1
        placed: list[Placed] = []
        for index, place in enumerate(places_in_line(count, axis=0)):
            person = _stand(self._people[rng.integers(len(self._people))], layout, rng)
            left, top = layout.corner(index, person.image.size, rng)
            corner = left, top if person.whole else max(size[1] - person.image.height, 0)
            ground = _paste(person.image, corner, ground, rng)
            placed = [_behind(thing, person.image, corner) for thing in placed]
            wearer = person.who if rng.random() < 0.5 else None
            skin = Placed(person.bare(), corner, SKIN, None, place, wearer, told=False)
            if basic:
                worn = [thing for thing in person.worn if thing.name != HAIR][:1]
            else:
                worn = _some(person.worn, share, 2 if count == 1 else 1, rng)
                if not natural and not person.whole and rng.random() < TOLD_SKIN:
                    tone = str(rng.choice([*person.skin, "natural"]))
                    skin = replace(skin, color=tone, told=True)
            placed.append(skin)
            for thing in worn:
                color = draw_terms(1, rng, basic=basic, apart=False)[0]
                image = Image.fromarray(self._painter.paint(np.asarray(thing.shading), color, rng))
                placed.append(Placed(image, corner, thing.name, color, place, wearer))
        return Arrangement(ground, ground_color, placed, False, real=True)


def _some(worn: Sequence[Worn], share: float, most: int, rng: np.random.Generator) -> list[Worn]:
    """A share of what a person mostly has painted, in its order; of hair, less."""
    drawn = [t for t in worn if rng.random() < share * (DYED if t.name == HAIR else PAINTED)]
    return [drawn[index] for index in sorted(rng.permutation(len(drawn))[:most])]


def _stand(person: DressedPerson, layout: Layout, rng: np.random.Generator) -> DressedPerson:
    """A person mirrored at random, and as large as there is room, or a little less."""
    most = 1.3 if layout.count == 1 and not person.whole else 1
    room = np.array(layout.size) * [1.1 / layout.count, 1] * rng.uniform(0.6, most)
    scale = float((room / np.array(person.image.size)).min())
    width, height = (max(1, round(side * scale)) for side in person.image.size)
    person = person.changed(lambda picture: picture.resize((width, height)))
    return person.changed(ImageOps.mirror) if rng.random() < 0.5 else person


def _paste(
    image: Image.Image, corner: tuple[int, int], ground: Image.Image, rng: np.random.Generator
) -> Image.Image:
    """A person put before a ground, with a soft shadow at times."""
    layer = Image.new("L", ground.size)
    layer.paste(image.getchannel("A"), corner)
    if rng.random() < 0.35:
        ground = darken(ground, soft_shadow(layer, rng))
    ground = ground.copy()
    ground.paste(image, corner, image)
    return ground


def _behind(thing: Placed, image: Image.Image, corner: tuple[int, int]) -> Placed:
    """A thing less what a picture with an outline, put before it at a corner, hides."""
    hidden = Image.new("L", thing.image.size)
    shift = (corner[0] - thing.corner[0], corner[1] - thing.corner[1])
    hidden.paste(image.getchannel("A"), shift)
    left = thing.image.copy()
    left.putalpha(ImageChops.subtract(left.getchannel("A"), hidden))
    return replace(thing, image=left)
