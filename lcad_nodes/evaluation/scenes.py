"""Made-up scenes with a known truth: cut-outs in named colors, described at any level.

python -m lcad_nodes.evaluation.scenes --stamps DIR --photos DIR --out sheet.png
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor
from torch.utils.data import Dataset

from lcad_nodes.color.names import TERMS

from .backgrounds import plain, surface
from .captions import Mention, describe
from .cutouts import CutOut, Split, read_cutouts, split_of
from .recolor import PAINTS, Painter

Kinds = Literal["any", "same", "different"]
Description = Literal["any", "full", "none"]

PHOTO_SIDE = 384
PHOTO_TYPES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
PLACES = {
    (2, 0): ("left", "right"),
    (3, 0): ("left", "middle", "right"),
    (2, 1): ("top", "bottom"),
    (3, 1): ("top", "middle", "bottom"),
}

logger = logging.getLogger(__name__)


class SceneError(ValueError):
    """Scenes cannot be built as asked."""


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene.

    Attributes:
        name: what it is.
        color: the basic color term it was painted in; None: its natural colors.
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
    """

    image: Tensor
    text: str
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True)
class _Placed:
    """An object to be drawn: its picture, its top left corner, and what it is."""

    image: Image.Image
    corner: tuple[int, int]
    name: str
    color: str | None


class SceneBuilder:
    """Builds scenes, each from a seed.

    Args:
        stamps: a folder of cut-outs (see `cutouts.read_cutouts`).
        photos: photographs, or folders of them, for backgrounds and natural color; may be empty.
        size: the scenes' side in pixels.
        split: which cut-outs and photographs to use; a fifth of each is held out.

    Raises:
        StampsError: `stamps` holds no usable cut-outs.
    """

    def __init__(self, stamps: Path, photos: Sequence[Path], size: int, split: Split) -> None:
        self.size = size
        self._cutouts = read_cutouts(stamps, split)
        self._photos = read_photos(photos, split)
        self._painter = Painter()

    def build(
        self,
        seed: int,
        *,
        objects: int | None = None,
        kinds: Kinds = "any",
        description: Description = "any",
    ) -> Scene:
        """The scene of a seed.

        Args:
            seed: zero or more; the same seed and arguments give the same scene.
            objects: how many objects, 0 to 3; None: at random, with few scenes of none.
            kinds: whether several objects are of one kind in different colors, or of different
                kinds. Objects are all painted unless this is "any".
            description: "full" names every painted object and its color, "none" nothing.

        Raises:
            SceneError: `objects` is out of range.
        """
        if objects is not None and not 0 <= objects <= 3:
            raise SceneError(f"A scene has 0 to 3 objects, not {objects}.")
        rng = np.random.default_rng(seed)
        count = self._count(rng) if objects is None else objects
        ground, ground_color = self._ground(rng, natural=count == 0)
        axis = int(count > 1 and rng.random() < 0.2)
        cutouts, same = self._choose(count, kinds, rng)
        colors = self._colors(count, same, description == "full" or kinds != "any", rng)
        placed = [
            self._place(cutout, color, index, count, axis, rng)
            for index, (cutout, color) in enumerate(zip(cutouts, colors, strict=True))
        ]
        image, masks = _compose(ground, placed, rng)
        mentions = _mentions(placed, PLACES.get((count, axis)), same, description, rng)
        said = [mention for mention in mentions if mention]
        text, phrases = describe(said, ground_color if rng.random() < 0.4 else None, rng)
        phrase = iter(phrases)
        return Scene(
            image=torch.from_numpy(np.array(image)).movedim(-1, 0).float() / 255,
            text=text,
            objects=tuple(
                SceneObject(thing.name, thing.color, next(phrase) if mention else None, mask)
                for thing, mention, mask in zip(placed, mentions, masks, strict=True)
            ),
        )

    def _count(self, rng: np.random.Generator) -> int:
        if self._photos and rng.random() < 0.08:
            return 0
        return int(rng.choice([1, 2, 3], p=[0.45, 0.32, 0.23]))

    def _ground(self, rng: np.random.Generator, *, natural: bool) -> tuple[Image.Image, str | None]:
        """The background, and its color's name where it has one."""
        if self._photos and (natural or rng.random() < 0.5):
            photo = _crop(self._photos[rng.integers(len(self._photos))], self.size, rng)
            blurred = not natural and rng.random() < 0.35
            return (_blur(photo, rng.uniform(1, 5)) if blurred else photo), None
        if rng.random() < 0.3:
            term = str(rng.choice(TERMS))
            paint = PAINTS[term]
            angle = np.radians(rng.uniform(*paint.hue))
            chroma = rng.uniform(*paint.chroma)
            lab = [rng.uniform(*paint.lightness), chroma * np.cos(angle), chroma * np.sin(angle)]
            return plain(self.size, self._painter.limit(np.array([lab]))[0], rng), term
        return surface(self.size, self._painter, rng), None

    def _choose(
        self, count: int, kinds: Kinds, rng: np.random.Generator
    ) -> tuple[list[CutOut], bool]:
        """The cut-outs, and whether they are of one kind."""
        same = count > 1 and (kinds == "same" or (kinds == "any" and rng.random() < 0.45))
        if same:
            return [self._cutouts[rng.integers(len(self._cutouts))]] * count, True
        chosen: list[CutOut] = []
        while len(chosen) < count:
            cutout = self._cutouts[rng.integers(len(self._cutouts))]
            # A name inside another ("truck", "dump truck") could not be told apart by its words.
            if not any(cutout.name in c.name or c.name in cutout.name for c in chosen):
                chosen.append(cutout)
        return chosen, False

    def _colors(
        self, count: int, same: bool, painted: bool, rng: np.random.Generator
    ) -> list[str | None]:
        """A color for each object; all different where they are of one kind."""
        drawn = [str(term) for term in rng.choice(TERMS, count, replace=not same)]
        if same or painted:
            return list(drawn)
        return [term if rng.random() < 0.85 else None for term in drawn]

    def _place(
        self,
        cutout: CutOut,
        color: str | None,
        index: int,
        count: int,
        axis: int,
        rng: np.random.Generator,
    ) -> _Placed:
        """The painted cut-out, scaled, turned, and put into its part of the scene."""
        slot = self.size / max(count, 1)
        room = np.array([self.size, self.size]) * rng.uniform(
            *((0.4, 0.92) if count == 1 else (0.5, 0.85))
        )
        if count > 1:
            room[axis] = slot * rng.uniform(0.75, 1.05)
        image = _turn(cutout.natural if color is None else cutout.shading, room, rng)
        if color is not None:
            image = Image.fromarray(self._painter.paint(np.asarray(image), color, rng))
        extent = np.array(image.size)
        corner = rng.random(2) * (self.size - extent)
        if count > 1:
            corner[axis] = slot * (index + 0.5 + rng.uniform(-0.08, 0.08)) - extent[axis] / 2
        left, top = corner.round().astype(int)
        return _Placed(image, (int(left), int(top)), cutout.name, color)


class SceneDataset(Dataset[Scene]):
    """The scenes of consecutive seeds, for a DataLoader (with a collate function of its own).

    Args:
        builder: builds the scenes.
        length: how many there are.
        first_seed: the seed of the first.
    """

    def __init__(self, builder: SceneBuilder, length: int, first_seed: int = 0) -> None:
        self._builder = builder
        self._length = length
        self._first_seed = first_seed

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Scene:
        if not 0 <= index < self._length:
            raise IndexError(index)
        return self._builder.build(self._first_seed + index)


def read_photos(paths: Sequence[Path], split: Split) -> tuple[Image.Image, ...]:
    """The photographs of a split, RGB, their shorter side at most 384 pixels.

    Args:
        paths: image files, or folders to search through.
        split: a fifth of the photographs, by a hash of their file names, is held out.

    Raises:
        SceneError: a path does not exist, or none of the photographs is of this split.
    """
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise SceneError(f"There are no photographs at {', '.join(missing)}.")
    files = sorted(
        file
        for path in paths
        for file in (path.rglob("*") if path.is_dir() else [path])
        if file.suffix.lower() in PHOTO_TYPES and split_of(Path(file.name)) == split
    )
    if paths and not files:
        raise SceneError(f"No {split} photograph is in {', '.join(map(str, paths))}.")
    return tuple(_read_photo(file) for file in files)


def _read_photo(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        opened.draft("RGB", (PHOTO_SIDE * 2, PHOTO_SIDE * 2))
        image = opened.convert("RGB")
    scale = min(1.0, PHOTO_SIDE / min(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _crop(photo: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    """A random square of a photograph, scaled to the scene's size, mirrored at random."""
    side = min(photo.size) * rng.uniform(0.55, 1.0)
    left, top = rng.uniform(0, np.array(photo.size) - side)
    box = (left, top, left + side, top + side)
    square = photo.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return square.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else square


def _blur(image: Image.Image, radius: float) -> Image.Image:
    return image.filter(ImageFilter.BoxBlur(radius))


def _turn(image: Image.Image, room: NDArray[np.float64], rng: np.random.Generator) -> Image.Image:
    """The image scaled to fit into `room` (width, height), mirrored and turned a little."""
    scale = float((room / np.array(image.size)).min())
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image = image.resize(size, Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.3:
        image = image.rotate(rng.uniform(-14, 14), Image.Resampling.BILINEAR, expand=True)
    return image


def _compose(
    ground: Image.Image, placed: Sequence[_Placed], rng: np.random.Generator
) -> tuple[Image.Image, list[Tensor]]:
    """The finished picture and each object's mask, where later objects do not hide it."""
    image = ground
    layers: list[NDArray[np.bool_]] = []
    for thing in placed:
        layer = Image.new("L", image.size)
        layer.paste(thing.image.getchannel("A"), thing.corner)
        if rng.random() < 0.35:
            image = _cast_shadow(image, layer, rng)
        image.paste(thing.image, thing.corner, thing.image)
        layers.append(np.asarray(layer) > 127)
    masks = []
    for index, layer in enumerate(layers):
        hidden = np.any(layers[index + 1 :], axis=0) if layers[index + 1 :] else False
        masks.append(torch.from_numpy(layer & ~np.asarray(hidden)).float())
    return image, masks


def _cast_shadow(image: Image.Image, alpha: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The image darkened softly around an outline, a little to one side and below."""
    small = alpha.resize((alpha.width // 4, alpha.height // 4), Image.Resampling.BOX)
    strength = rng.uniform(0.25, 0.6)
    soft = small.filter(ImageFilter.BoxBlur(rng.uniform(1, 3))).point(lambda a: int(a * strength))
    shift = (int(rng.uniform(-0.03, 0.03) * image.width), int(rng.uniform(0, 0.04) * image.width))
    shadow = Image.new("L", image.size)
    shadow.paste(soft.resize(image.size, Image.Resampling.BILINEAR), shift)
    image = image.copy()
    image.paste((0, 0, 0), (0, 0), shadow)
    return image


def _mentions(
    placed: Sequence[_Placed],
    places: tuple[str, ...] | None,
    same: bool,
    description: Description,
    rng: np.random.Generator,
) -> list[Mention | None]:
    """What is said of each object; None: nothing."""
    if description == "none" or (description == "any" and rng.random() < 0.1):
        return [None] * len(placed)
    placing = places is not None and (same or rng.random() < 0.15)
    mentions: list[Mention | None] = [
        Mention(thing.name, thing.color, places[index] if places and placing else None)
        for index, thing in enumerate(placed)
    ]
    if description == "any" and rng.random() < 0.2 and placed:
        left_out = int(rng.integers(len(placed)))
        mention = mentions[left_out]
        keep = mention is not None and not same and rng.random() < 0.5
        mentions[left_out] = replace(mention, color=None) if mention and keep else None
    return mentions


def contact_sheet(scenes: Sequence[Scene], columns: int) -> Image.Image:
    """The scenes side by side, their descriptions beneath."""
    side = scenes[0].image.shape[-1]
    rows = -(-len(scenes) // columns)
    sheet = Image.new("RGB", (columns * side, rows * (side + 30)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, scene in enumerate(scenes):
        x, y = index % columns * side, index // columns * (side + 30)
        pixels = (scene.image.movedim(0, -1) * 255).round().to(torch.uint8).numpy()
        sheet.paste(Image.fromarray(pixels), (x, y))
        line = side // 6
        draw.text((x + 2, y + side), f"{scene.text[:line]}\n{scene.text[line:]}", fill="black")
    return sheet


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a contact sheet of scenes."""
    parser = argparse.ArgumentParser(prog="python -m lcad_nodes.evaluation.scenes")
    parser.add_argument("--stamps", type=Path, required=True, help="folder of cut-outs")
    parser.add_argument("--photos", type=Path, nargs="*", default=[], help="photographs or folders")
    parser.add_argument("--out", type=Path, required=True, help="the PNG to write")
    parser.add_argument("--size", type=int, default=256, help="side of a scene in pixels")
    parser.add_argument("--count", type=int, default=40, help="number of scenes")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first scene")
    parser.add_argument("--split", choices=["train", "held_out"], default="train")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    builder = SceneBuilder(options.stamps, options.photos, options.size, options.split)
    scenes = [builder.build(options.seed + index) for index in range(options.count)]
    contact_sheet(scenes, columns=8).save(options.out)
    logger.info("%d scenes in %s", len(scenes), options.out)


if __name__ == "__main__":
    main()
