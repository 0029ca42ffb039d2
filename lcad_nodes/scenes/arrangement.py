"""What scenes are arranged of: a ground, and objects that are put on it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .backgrounds import Size
from .recolor import draw_terms
from .shadows import darken, floor_shadow, soft_shadow


class SceneError(ValueError):
    """Scenes cannot be built as asked."""


@dataclass(frozen=True)
class Layout:
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
class Placed:
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
class Arrangement:
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
    placed: list[Placed]
    same: bool
    real: bool


def draw_colors(
    count: int, rng: np.random.Generator, *, basic: bool, same: bool, painted: bool
) -> list[str | None]:
    """A color for each object, clearly different ones for one kind; None: its own."""
    terms = draw_terms(count, rng, basic=basic, apart=same)
    return [term if same or painted or rng.random() < 0.85 else None for term in terms]


def compose(
    made: Arrangement, rng: np.random.Generator, floor: float
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
