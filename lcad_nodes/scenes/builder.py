"""Made-up scenes with a known truth: cut-outs in named colors, described at any level."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from .aging import Ager
from .arrangement import Arrangement, Placed, SceneError, compose
from .backgrounds import Grounds, read_photos
from .captions import GRAMMAR, Mention, describe
from .cutouts import Split, read_cutouts
from .dressed import People, read_people
from .recolor import PAINTS, Painter
from .regions import Regions
from .segments import read_segmented
from .things import Kinds as KindsOfThings
from .things import Things

Kinds = KindsOfThings | Literal["people"]
Description = Literal["any", "full", "none"]

SEGMENTED = 0.2
"""Share of the scenes drawn freely that are photographs whose own things are painted."""
PEOPLE = 0.35
"""Share of the other scenes drawn freely that are people in clothes that are painted."""
UNORDERED = 0.5
"""Share of the descriptions that name things in any order, not from left to right."""
FLOOR = 0.5
"""Share of the things drawn freely, and not a photograph's own, that throw a shadow on a floor."""
CAPTION = 44  # height of the text beneath a scene on a contact sheet, in pixels

SPOKEN = GRAMMAR.union(*map(str.split, PAINTS))
"""All words of descriptions but the names of things."""


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene.

    Attributes:
        name: what it is.
        color: the color term it was painted in; None: its natural colors.
        phrase: what the description says of it, exactly as it stands there; None: nothing.
        mask: H,W float, 1 where it is seen.
    """

    name: str
    color: str | None
    phrase: str | None
    mask: Tensor


@dataclass(frozen=True)
class Scene:
    """A picture, its description, and what is in it.

    Attributes:
        image: 3,H,W float sRGB in [0, 1].
        text: the description; empty: none.
        objects: from left to right or from top to bottom.
        background: what the description says of it, exactly as it stands there; None: nothing.
    """

    image: Tensor
    text: str
    objects: tuple[SceneObject, ...]
    background: str | None = None


class SceneBuilder:
    """Builds scenes, each from a seed.

    Args:
        stamps: folders of cut-outs (see `cutouts.read_cutouts`).
        photos: photographs, or folders of them, for backgrounds and natural color; may be empty.
        size: the scenes' side in pixels.
        split: which cut-outs, photographs and people to use; a fifth of each is held out.
        people: folders of people (see `dressed.read_people`); may be empty.

    Raises:
        StampsError: `stamps` hold no usable cut-outs of the split.
        PhotosError: a path of `photos` is missing, or none is of the split.
        PeopleError: a folder of `people` has nobody of the split.
    """

    def __init__(
        self,
        stamps: Sequence[Path],
        photos: Sequence[Path],
        size: int,
        split: Split,
        people: Sequence[Path] = (),
    ) -> None:
        self.size = size
        painter, pictures = Painter(), read_photos(photos, split)
        grounds = Grounds(pictures, painter)
        segmented, somebody = read_segmented(photos, split), read_people(people, split)
        self._things = Things(read_cutouts(stamps, split), grounds, painter)
        self._regions = Regions(segmented, painter) if segmented else None
        self._people = People(somebody, grounds, painter) if somebody else None
        self._has_photos = bool(pictures)
        self._ager = Ager()

    def build(
        self,
        seed: int,
        *,
        objects: int | None = None,
        kinds: Kinds = "any",
        description: Description = "any",
        places: bool | None = None,
    ) -> Scene:
        """The scene of a seed.

        Drawn freely, about half of the scenes look like old photographs. A scene that is asked
        for by a number of objects, their kinds or a description is one to measure with: never
        aged, and in the eleven basic colors only.

        Args:
            seed: zero or more; the same seed and arguments give the same scene.
            objects: how many objects, 0 to 3; None: at random, with few scenes of none.
            kinds: whether several objects are of one kind in different colors, or of different
                kinds; or whether they are people, each of whom wears one thing that is painted, and
                whose skin is an object too, of which nothing is said; or nothing, without a
                description. Objects are all painted unless this is "any".
            description: "full" names every painted object and its color, and the background's
                where it has one that nobody could guess; "none" names nothing.
            places: whether the description says where objects are; None: half the time, and of
                things of one kind always, or mostly in a scene drawn freely.

        Raises:
            SceneError: `objects` is out of range, or there are too few cut-outs of different
                names, or no people.
        """
        if objects is not None and not 0 <= objects <= 3:
            raise SceneError(f"A scene has 0 to 3 objects, not {objects}.")
        rng = np.random.default_rng(seed)
        free = objects is None and kinds == description == "any"
        if free:
            made = self._arrange_freely(rng)
        else:
            made = self._arrange(objects, kinds, description, rng)
        image, masks = compose(made, rng, floor=FLOOR if free else 0)
        placed, same, ground_color = made.placed, made.same, made.ground_color
        telling = 0.7 if free and same else 1.0 if same else 0.5
        by_chance = rng.random() < telling
        placing = by_chance if places is None else places
        mentions = _mentions(placed, placing, description, same, rng)
        said = [(index, mention) for index, mention in enumerate(mentions) if mention]
        if rng.random() < UNORDERED:
            rng.shuffle(said)
        named = rng.random() < 0.8 or description == "full"
        text, phrases = describe([m for _, m in said], ground_color if named else None, rng)
        things = _objects(placed, masks, [index for index, _ in said], phrases)
        background = phrases[-1] if len(phrases) > len(said) else None
        picture = self._develop(image, rng, old=free and rng.random() < 0.5)
        return Scene(picture, text, things, background)

    def _arrange_freely(self, rng: np.random.Generator) -> Arrangement:
        size = (self.size, self.size)
        if self._regions and rng.random() < SEGMENTED:
            return self._regions.arrange(size, rng)
        if self._people and rng.random() < PEOPLE:
            return self._people.arrange(size, int(rng.choice([1, 2, 3], p=[0.55, 0.3, 0.15])), rng)
        return self._things.arrange(size, self._count(rng), "any", rng)

    def _arrange(
        self,
        objects: int | None,
        kinds: Kinds,
        description: Description,
        rng: np.random.Generator,
    ) -> Arrangement:
        """Arrange what is asked for."""
        size = (self.size, self.size)
        if kinds != "people":
            count = self._count(rng) if objects is None else objects
            painted = description == "full" or kinds != "any"
            return self._things.arrange(size, count, kinds, rng, basic=True, painted=painted)
        if not self._people:
            raise SceneError("There are no people to make scenes of.")
        natural = description == "none"
        return self._people.arrange(size, objects or 1, rng, basic=not natural, natural=natural)

    def _develop(self, image: Image.Image, rng: np.random.Generator, *, old: bool) -> Tensor:
        """3,H,W in [0, 1] of a finished picture, aged if it is to be old."""
        if old:
            return torch.from_numpy(self._ager.age(image, rng))
        return torch.from_numpy(np.array(image)).movedim(-1, 0).float() / 255

    def _count(self, rng: np.random.Generator) -> int:
        if self._has_photos and rng.random() < 0.08:
            return 0
        return int(rng.choice([1, 2, 3], p=[0.3, 0.38, 0.32]))


def _objects(
    placed: Sequence[Placed],
    masks: Sequence[Tensor],
    order: Sequence[int],
    phrases: Sequence[str],
) -> tuple[SceneObject, ...]:
    """The objects of a scene: `phrases` are of those that `order` counts, and the rest unsaid."""
    phrase_of = dict(zip(order, phrases, strict=False))  # a last one may be the background's
    return tuple(
        SceneObject(thing.name, thing.color, phrase_of.get(index), mask)
        for index, (thing, mask) in enumerate(zip(placed, masks, strict=True))
    )


def _mentions(
    placed: Sequence[Placed],
    placing: bool,
    description: Description,
    same: bool,
    rng: np.random.Generator,
) -> list[Mention | None]:
    """What is said of each object, with its place or without; None: nothing."""
    if description == "none" or (description == "any" and rng.random() < 0.1):
        return [None] * len(placed)
    said = [
        Mention(o.name, o.color, o.place if placing else None, o.wearer) if o.told else None
        for o in placed
    ]
    if description == "full" or not placed or rng.random() < 0.8:
        return said
    index = int(rng.integers(len(placed)))
    colorless, mention = not same and rng.random() < 0.5, said[index]
    said[index] = replace(mention, color=None) if colorless and mention else None
    return said


def contact_sheet(scenes: Sequence[Scene], columns: int) -> Image.Image:
    """The scenes, all of one size, side by side, their descriptions beneath."""
    height, width = scenes[0].image.shape[-2:]
    rows = -(-len(scenes) // columns)
    sheet = Image.new("RGB", (columns * width, rows * (height + CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, scene in enumerate(scenes):
        x, y = index % columns * width, index // columns * (height + CAPTION)
        pixels = (scene.image.movedim(0, -1) * 255).round().to(torch.uint8).numpy()
        sheet.paste(Image.fromarray(pixels), (x, y))
        draw.text((x + 2, y + height), fill(scene.text, width // 6), fill="black")
    return sheet
