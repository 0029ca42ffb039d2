"""Made-up scenes with a known truth: cut-outs in named colors, described at any level."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter
from torch import Tensor

from .aging import Ager
from .backgrounds import Size, crop, plain, read_photos, studio, surface
from .captions import GRAMMAR, Mention, describe
from .cutouts import CutOut, Split, read_cutouts
from .dressed import HAIR, DressedPerson, read_people
from .recolor import PAINTS, Painter, draw_terms
from .segments import Box, SegmentedPhoto, read_segmented
from .shadows import darken, floor_shadow, soft_shadow

Kinds = Literal["any", "same", "different", "people"]
Description = Literal["any", "full", "none"]

SEGMENTED = 0.2
"""Share of the scenes drawn freely that are photographs whose own things are painted."""
PEOPLE = 0.35
"""Share of the other scenes drawn freely that are people in clothes that are painted."""
SKIN = "skin"
"""What is seen of people besides what they wear, and is not painted."""
ALL_NATURAL, PAINTED, DYED = 0.3, 0.75, 0.15
"""Shares of scenes of people that nothing is painted in; of clothes, and of hair, of the others."""
COLUMNS, MEASURED_COLUMNS = 0.4, 0.2
"""Shares of scenes of several objects that are columns, not rows: drawn freely, and measured."""
UNORDERED = 0.5
"""Share of the descriptions that name things in any order, not from left to right."""
SEEN, MOSTLY = 0.15, 0.6
"""Shares of a thing's area inside a crop: to count when places are named; to be painted."""
STUDIO = 0.12
"""Share of the grounds drawn freely that are light backdrops, nearly without color."""
FLOOR = 0.5
"""Share of the things drawn freely, and not a photograph's own, that throw a shadow on a floor."""
CAPTION = 44  # height of the text beneath a scene on a contact sheet, in pixels

SPOKEN = GRAMMAR.union(*map(str.split, PAINTS))
"""All words of descriptions but the names of things."""

_BILINEAR = Image.Resampling.BILINEAR
_FLIP = Image.Transpose.FLIP_LEFT_RIGHT


class SceneError(ValueError):
    """Scenes cannot be built as asked."""


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


@dataclass(frozen=True)
class _Layout:
    """Where objects go: one anywhere, several in a row or a column.

    Attributes:
        size: the scene's width and height in pixels.
        count: how many objects.
        axis: 0: a row, 1: a column.
    """

    size: Size
    count: int
    axis: int

    def room(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """The width and height that an object may fill."""
        least, most = (0.4, 0.92) if self.count == 1 else (0.5, 0.85)
        room = np.array(self.size) * rng.uniform(least, most)
        if self.count > 1:
            room[self.axis] = self.size[self.axis] / self.count * rng.uniform(0.75, 1.05)
        return room

    def corner(
        self, index: int, extent: tuple[int, int], rng: np.random.Generator
    ) -> tuple[int, int]:
        """The left and top of an object of this width and height."""
        corner = rng.random(2) * (np.array(self.size) - np.array(extent))
        if self.count > 1:
            middle = self.size[self.axis] / self.count * (index + 0.5 + rng.uniform(-0.08, 0.08))
            corner[self.axis] = middle - extent[self.axis] / 2
        left, top = corner.round().astype(int)
        return int(left), int(top)


def places_in_line(count: int, axis: int) -> Sequence[str | None]:
    """Where each of up to four objects in a row (axis 0) or a column is; None for a single one."""
    first, last = (("left", "right"), ("top", "bottom"))[axis]
    return {
        1: (None,),
        2: (first, last),
        3: (first, "middle", last),
        4: ("far left", "second from the left", "second from the right", "far right"),
    }[count]


@dataclass(frozen=True)
class _Placed:
    """An object to be drawn: its picture, its left and top, what it is, and who wears it.

    Attributes:
        told: whether a description may name it.
    """

    image: Image.Image
    corner: tuple[int, int]
    name: str
    color: str | None
    place: str | None
    wearer: str | None = None
    told: bool = True


@dataclass(frozen=True)
class _Arrangement:
    """What a scene is made of.

    Attributes:
        ground: the picture without its objects.
        ground_color: its color's name where it has one.
        placed: the objects.
        same: whether they are of one kind.
        real: whether they are regions of the ground, which cast their own shadows.
    """

    ground: Image.Image
    ground_color: str | None
    placed: list[_Placed]
    same: bool
    real: bool


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
        self._cutouts = read_cutouts(stamps, split)
        self._photos = read_photos(photos, split)
        self._segmented = read_segmented(photos, split)
        self._people = read_people(people, split)
        self._painter = Painter()
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
                whose skin is an object too, of which nothing is said. Objects are all painted
                unless this is "any".
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
        if kinds == "people" and not self._people:
            raise SceneError("There are no people to make scenes of.")
        rng = np.random.default_rng(seed)
        free = objects is None and kinds == description == "any"
        size, painted = (self.size, self.size), description == "full"
        if free and self._segmented and rng.random() < SEGMENTED:
            made = self._recolor(size, rng)
        elif kinds == "people":
            made = self._dress(size, objects or 1, rng, basic=True)
        elif free and self._people and rng.random() < PEOPLE:
            made = self._dress(size, int(rng.choice([1, 2, 3], p=[0.55, 0.3, 0.15])), rng)
        else:
            count = self._count(rng) if objects is None else objects
            made = self._arrange(size, count, kinds, rng, basic=not free, painted=painted)
        image, masks = _compose(made, rng, floor=FLOOR if free else 0)
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

    def _arrange(
        self,
        size: Size,
        count: int,
        kinds: Kinds,
        rng: np.random.Generator,
        *,
        basic: bool,
        painted: bool,
    ) -> _Arrangement:
        """Cut-outs on a background, in a row or a column."""
        ground, ground_color = self._ground(size, rng, natural=count == 0, basic=basic)
        columns = MEASURED_COLUMNS if basic else COLUMNS
        layout = _Layout(size, count, axis=int(rng.random() < columns))
        cutouts, same = self._choose(count, kinds, rng)
        colors = _colors(count, rng, basic=basic, same=same, painted=painted or kinds != "any")
        placed = [
            self._place(cutout, color, index, layout, rng)
            for index, (cutout, color) in enumerate(zip(cutouts, colors, strict=True))
        ]
        return _Arrangement(ground, ground_color, placed, same, real=False)

    def _recolor(self, size: Size, rng: np.random.Generator) -> _Arrangement:
        """A part of a photograph with those of its things painted that lie in it."""
        chosen = self._segmented[rng.integers(len(self._segmented))]
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
        colors = _colors(len(seen), rng, basic=False, same=same, painted=False)
        places = places_in_line(len(seen), axis=0) if seen else ()
        placed = []
        for (name, shading, share), color, place in zip(seen, colors, places, strict=True):
            if color and share > MOSTLY:
                left, top, right, bottom = shading.getbbox() or (0, 0, 0, 0)
                pixels = np.asarray(shading.crop((left, top, right, bottom)))
                image = Image.fromarray(self._painter.paint(pixels, color, rng))
                placed.append(_Placed(image, (left, top), name, color, place))
        return _Arrangement(ground, None, placed, same, real=True)

    def _dress(
        self, size: Size, count: int, rng: np.random.Generator, *, basic: bool = False
    ) -> _Arrangement:
        """People side by side on a background, with some of what they wear painted."""
        ground, ground_color = self._ground(size, rng, natural=False, basic=basic)
        layout = _Layout(size, count, axis=0)
        natural = not basic and rng.random() < ALL_NATURAL
        placed: list[_Placed] = []
        for index, place in enumerate(places_in_line(count, axis=0)):
            person = _stand(self._people[rng.integers(len(self._people))], layout, rng)
            left, top = layout.corner(index, person.image.size, rng)
            corner = left, top if person.whole else size[1] - person.image.height
            ground = _paste(person.image, corner, ground, rng)
            placed = [_behind(thing, person.image, corner) for thing in placed]
            if basic:
                worn = [thing for thing in person.worn if thing.name != HAIR][:1]
                placed.append(_Placed(person.bare(), corner, SKIN, None, None, told=False))
            else:
                chances = [
                    0 if natural else DYED if t.name == HAIR else PAINTED for t in person.worn
                ]
                worn = [t for t, p in zip(person.worn, chances, strict=True) if rng.random() < p]
                chosen = rng.permutation(len(worn))[: 2 if count == 1 else 1]
                worn = [worn[i] for i in sorted(chosen)]
            for thing in worn:
                color = draw_terms(1, rng, basic=basic, apart=False)[0]
                image = Image.fromarray(self._painter.paint(np.asarray(thing.shading), color, rng))
                wearer = person.who if rng.random() < 0.5 else None
                placed.append(_Placed(image, corner, thing.name, color, place, wearer))
        return _Arrangement(ground, ground_color, placed, False, real=True)

    def _develop(self, image: Image.Image, rng: np.random.Generator, *, old: bool) -> Tensor:
        """3,H,W in [0, 1] of a finished picture, aged if it is to be old."""
        if old:
            return torch.from_numpy(self._ager.age(image, rng))
        return torch.from_numpy(np.array(image)).movedim(-1, 0).float() / 255

    def _count(self, rng: np.random.Generator) -> int:
        if self._photos and rng.random() < 0.08:
            return 0
        return int(rng.choice([1, 2, 3], p=[0.3, 0.38, 0.32]))

    def _ground(
        self, size: Size, rng: np.random.Generator, *, natural: bool, basic: bool
    ) -> tuple[Image.Image, str | None]:
        """The background, and its color's name where it has one."""
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

    def _choose(
        self, count: int, kinds: Kinds, rng: np.random.Generator
    ) -> tuple[list[CutOut], bool]:
        """The cut-outs, and whether they are of one kind."""
        same = count > 1 and (kinds == "same" or (kinds == "any" and rng.random() < 0.45))
        if same:
            name = self._cutouts[rng.integers(len(self._cutouts))].name
            alike = [cutout for cutout in self._cutouts if cutout.name == name]
            return [alike[rng.integers(len(alike))] for _ in range(count)], True
        chosen: list[CutOut] = []

        def fits(cutout: CutOut) -> bool:
            """A name inside another ("truck", "dump truck") could not be told by its words."""
            return not any(cutout.name in c.name or c.name in cutout.name for c in chosen)

        while len(chosen) < count:
            if not any(map(fits, self._cutouts)):
                raise SceneError(
                    f"There are too few cut-outs of different names for {count} in a scene: no "
                    f"other goes with {', '.join(cutout.name for cutout in chosen)}."
                )
            cutout = self._cutouts[rng.integers(len(self._cutouts))]
            if fits(cutout):
                chosen.append(cutout)
        return chosen, False

    def _place(
        self,
        cutout: CutOut,
        color: str | None,
        index: int,
        layout: _Layout,
        rng: np.random.Generator,
    ) -> _Placed:
        """The cut-out painted, scaled, turned, and put into its part of the scene."""
        room = layout.room(rng)
        if color is None:
            image = _turn(cutout.natural, room, rng)
        else:
            shading = np.asarray(_turn(cutout.shading, room, rng))
            image = Image.fromarray(self._painter.paint(shading, color, rng))
        corner = layout.corner(index, image.size, rng)
        place = places_in_line(layout.count, layout.axis)[index]
        return _Placed(image, corner, cutout.name, color, place)


def _turn(image: Image.Image, room: NDArray[np.float64], rng: np.random.Generator) -> Image.Image:
    """The image scaled to fit into `room` (width, height), mirrored and turned a little."""
    scale = float((room / np.array(image.size)).min())
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image = image.resize(size, _BILINEAR)
    if rng.random() < 0.5:
        image = image.transpose(_FLIP)
    if rng.random() < 0.3:
        image = image.rotate(rng.uniform(-14, 14), _BILINEAR, expand=True)
    return image


def _left_and_right(shading: Image.Image) -> int:
    """x of the middle of what is not transparent, twice."""
    left, _, right, _ = shading.getbbox() or (0, 0, 0, 0)
    return left + right


def _stand(person: DressedPerson, layout: _Layout, rng: np.random.Generator) -> DressedPerson:
    """A person mirrored at random, and as large as there is room, or a little less."""
    room = np.array(layout.size) * [1.1 / layout.count, 1] * rng.uniform(0.6, 1)
    scale = float((room / np.array(person.image.size)).min())
    width, height = (max(1, round(side * scale)) for side in person.image.size)
    person = person.resized((width, height))
    return person.mirrored() if rng.random() < 0.5 else person


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


def _behind(thing: _Placed, image: Image.Image, corner: tuple[int, int]) -> _Placed:
    """A thing less what a picture with an outline, put before it at a corner, hides."""
    hidden = Image.new("L", thing.image.size)
    shift = (corner[0] - thing.corner[0], corner[1] - thing.corner[1])
    hidden.paste(image.getchannel("A"), shift)
    left = thing.image.copy()
    left.putalpha(ImageChops.subtract(left.getchannel("A"), hidden))
    return replace(thing, image=left)


def _around(chosen: SegmentedPhoto, size: Size, rng: np.random.Generator) -> Box:
    """A box of a size's shape about one of a photograph's things: left, top, right, bottom."""
    whole, wanted = np.array(chosen.photo.size), np.array(size)
    extent = wanted * ((whole / wanted).min() * rng.uniform(0.75, 1.0))
    middle = chosen.segments[rng.integers(len(chosen.segments))].middle
    corner = middle - extent / 2 + rng.normal(0, 0.15, 2) * extent
    first = np.clip(corner, 0, whole - extent)
    left, top, right, bottom = *first.tolist(), *np.minimum(first + extent, whole).tolist()
    return left, top, right, bottom


def _colors(
    count: int, rng: np.random.Generator, *, basic: bool, same: bool, painted: bool
) -> list[str | None]:
    """A color for each object, clearly different ones for one kind; None: its own."""
    terms = draw_terms(count, rng, basic=basic, apart=same)
    return [term if same or painted or rng.random() < 0.85 else None for term in terms]


def _compose(
    made: _Arrangement, rng: np.random.Generator, floor: float
) -> tuple[Image.Image, list[Tensor]]:
    """The finished picture and each object's mask, where later objects do not hide it.

    Args:
        made: what it is made of.
        rng: draws shadows.
        floor: share of cut-outs that throw a shadow on a floor, not softly on a wall or at all.
    """
    image = made.ground
    layers: list[NDArray[np.bool_]] = []
    for thing in made.placed:
        layer = Image.new("L", image.size)
        layer.paste(thing.image.getchannel("A"), thing.corner)
        if floor and not made.real and rng.random() < floor:
            image = darken(image, floor_shadow(layer, rng))
        elif not made.real and rng.random() < 0.35:
            image = darken(image, soft_shadow(layer, rng))
        image.paste(thing.image, thing.corner, thing.image)
        layers.append(np.asarray(layer) > 127)
    masks = []
    for index, layer in enumerate(layers):
        hidden = np.any(layers[index + 1 :], axis=0) if layers[index + 1 :] else False
        masks.append(torch.from_numpy(layer & ~np.asarray(hidden)).float())
    return image, masks


def _objects(
    placed: Sequence[_Placed],
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
    placed: Sequence[_Placed],
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
