"""What is measured of the pictures made of scenes, a tuple of numbers a scene."""

import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from ..color.lab import rgb_to_lab
from ..color.measures import delta_e2000, mean_lab
from ..color.names import PROTOTYPES, color_matches
from ..scenes.builder import Scene

SEEN = 1.0
"""Mean CIEDE2000 of an object from which two pictures of it are told apart."""

Samples = list[tuple[float, ...]]
T = TypeVar("T")


def in_batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Take a sequence apart."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def stack(scenes: Sequence[Scene]) -> tuple[Tensor, list[str]]:
    """The pictures of scenes of one size, Bx3xHxW, and their descriptions."""
    return torch.stack([scene.image for scene in scenes]), [scene.text for scene in scenes]


def named(scene: Scene) -> list[tuple[str, Tensor]]:
    """The objects that a description names: phrase and mask."""
    return [(thing.phrase, thing.mask) for thing in scene.objects if thing.phrase]


def told_in_order(scene: Scene) -> bool:
    """Whether a description names the objects from left to right, or from top to bottom."""
    starts = [scene.text.index(phrase) for phrase, _ in named(scene)]
    return starts == sorted(starts)


def recolored(scene: Scene) -> str:
    """The description with the first object's color replaced by the one farthest from it."""
    color = str(scene.objects[0].color)
    here = torch.tensor(PROTOTYPES[color])
    other = max(PROTOTYPES, key=lambda term: float((torch.tensor(PROTOTYPES[term]) - here).norm()))
    return re.sub(rf"\b{color}\b", other, scene.text, count=1, flags=re.IGNORECASE)


def hits(scenes: Sequence[Scene], pictures: Tensor) -> Samples:
    """How many of a scene's objects got the color named, and how many there are."""
    return [
        (float(sum(_got_its_color(picture, thing) for thing in things)), float(len(things)))
        for scene, picture in zip(scenes, pictures, strict=True)
        for things in [[(o.color, o.mask) for o in scene.objects if o.color and o.mask.any()]]
    ]


def outside(scenes: Sequence[Scene], pictures: Tensor) -> Samples:
    """The mean CIEDE2000 to the truth outside the objects; only where there is an outside."""
    errors = _differences(pictures, stack(scenes)[0])
    grounds = [1 - torch.stack([o.mask for o in scene.objects]).amax(dim=0) for scene in scenes]
    return [
        (_mean(error, ground),)
        for error, ground in zip(errors, grounds, strict=True)
        if bool(ground.any())
    ]


def inside(scenes: Sequence[Scene], pictures: Tensor, name: str) -> Samples:
    """The mean CIEDE2000 to the truth in all objects of a name; only where they are seen."""
    errors = _differences(pictures, stack(scenes)[0])
    found = [[o.mask for o in scene.objects if o.name == name] for scene in scenes]
    masks = [torch.stack(alike).amax(dim=0) for alike in found if alike]
    with_any = [error for error, alike in zip(errors, found, strict=True) if alike]
    return [(_mean(e, mask),) for e, mask in zip(with_any, masks, strict=True) if bool(mask.any())]


def told_apart(scenes: Sequence[Scene], pictures: Tensor, others: Tensor) -> Samples:
    """Whether the first object is seen to differ between two pictures of a scene; and 1."""
    differences = _differences(pictures, others)
    return [
        (float(_mean(difference, scene.objects[0].mask) >= SEEN), 1.0)
        for scene, difference in zip(scenes, differences, strict=True)
    ]


def error(scenes: Sequence[Scene], pictures: Tensor) -> Samples:
    """The mean CIEDE2000 to the truth."""
    return column(_differences(pictures, stack(scenes)[0]).mean(dim=(1, 2)))


def column(values: Tensor) -> Samples:
    """One number a scene."""
    return [(value,) for value in values.tolist()]


def _got_its_color(picture: Tensor, thing: tuple[str, Tensor]) -> bool:
    color, mask = thing
    return color_matches(mean_lab(picture, mask), color)


def _differences(pictures: Tensor, others: Tensor) -> Tensor:
    """CIEDE2000 of every pixel, BxHxW."""
    return delta_e2000(rgb_to_lab(pictures), rgb_to_lab(others))[:, 0]


def _mean(values: Tensor, mask: Tensor) -> float:
    return float((values * mask).sum() / mask.sum())
