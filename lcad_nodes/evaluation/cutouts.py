"""Cut-out objects with names, read from Tux Paint's stamps (Debian: tuxpaint-stamps-default)."""

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from lcad_nodes.color.lab import rgb_to_lab
from lcad_nodes.color.names import TERMS

Split = Literal["train", "held_out"]

LARGEST_SIDE = 384
SMALLEST_SIDE = 72
LONGEST_NAME = 3  # words
FLATTEST = 5.0  # standard deviation of L; below it are silhouettes and glyphs
MAIN_CHROMA = 20.0  # at the least, of a thing's colored parts, for its others to stay neutral
MAIN_SHARE = 0.6  # of its area

# Neither objects nor pictures of them.
SKIPPED_FOLDERS = frozenset({"symbols", "roadsigns", "hanukkah", "newyears", "naturalforces"})
# Seen on a contact sheet to be outlines, several things at once, cut badly, or see-through.
SKIPPED_FILES = frozenset(
    """
    bunny-egg chick-hatched chick-in-egg ghost glass inukshuk-outline lamp lightningbolt
    old_naval_shell party-horn-in party-horn-out rugby_goal_posts sedan_police spider_computer
    spider_fly spider_football star wings 0_sun moon_crescent docks graveyard magic_stones mine
    propeller_hat football_helmet_front football_helmet_side eye lionfish mercurythermometer
    """.split()
)
# Words of a caption that say nothing about what the thing is, or would contradict a new color.
_FILLERS = frozenset(
    "a an the very big huge large small little old modern happy colorful tough ripe fast "
    "golden silver albino and covered male female singing sleeping sitting baby".split()
) | frozenset(TERMS)


class StampsError(ValueError):
    """A folder without usable cut-outs."""


@dataclass(frozen=True)
class CutOut:
    """One object, cropped to its outline.

    Attributes:
        name: what it is, in a few lower-case words without an article or a color.
        natural: RGBA, as it is.
        shading: RGBA that holds CIE L times 2.55 in R, how much of a new color each pixel
            takes (255: all of it) in G, nothing in B, and the outline in A.
    """

    name: str
    natural: Image.Image
    shading: Image.Image


def read_cutouts(folder: Path, split: Split) -> tuple[CutOut, ...]:
    """Every usable cut-out below a folder of stamps that belongs to the split, by path.

    A PNG is usable when a caption lies beside it (.txt, UTF-8, English in its first line) that
    begins with an article and is a short noun phrase, and when it is large and shaded enough.
    A fifth is held out, by a hash of the path without its variant's number or letter.

    Raises:
        StampsError: nothing usable is there.
    """
    cutouts = [
        cutout
        for path in sorted(folder.rglob("*.png"))
        if split_of(path.relative_to(folder)) == split and (cutout := _read(path, folder))
    ]
    if not cutouts:
        raise StampsError(f"{folder} holds no usable cut-outs; it must hold PNGs with .txt beside.")
    return tuple(cutouts)


def split_of(relative: Path) -> Split:
    """Which split a file belongs to; variants (frog, frog-1, grave_a, grave_b) stay together."""
    family = re.sub(r"[-_]?(\d+|[-_][a-z])$", "", relative.stem.lower())
    key = (relative.parent / family).as_posix()
    return "held_out" if zlib.crc32(key.encode()) % 5 == 0 else "train"


def object_name(caption: str) -> str | None:
    """The short name in a stamp's caption ("A “Fuji” apple." is "fuji apple"), or None."""
    caption = re.sub(r"[“”\"']|’s\b|\b(pair|bunch|cluster|head|quarter) of\b", "", caption.strip())
    first = re.split(r"[.!?,;:(—–]| (?:of|with|in|is|at|for|used|making|resembles) ", caption)[0]
    words = first.lower().split()
    if not words or words[0] not in {"a", "an", "the"}:
        return None
    kept = [word for word in words if word not in _FILLERS]
    colored = words[-1] in TERMS  # "an orange"
    if colored or not 0 < len(kept) <= LONGEST_NAME or not "".join(kept).isascii():
        return None
    return " ".join(kept)


def _read(path: Path, folder: Path) -> CutOut | None:
    parts = set(path.relative_to(folder).parts)
    caption = path.with_suffix(".txt")
    if path.stem in SKIPPED_FILES or parts & SKIPPED_FOLDERS or not caption.exists():
        return None
    name = object_name(caption.read_text(encoding="utf-8").split("\n", 1)[0])
    return _load(path, name) if name else None


def _load(path: Path, name: str) -> CutOut | None:
    with Image.open(path) as opened:
        image = opened.convert("RGBA")
    box = image.getchannel("A").point(lambda a: 255 if a > 24 else 0).getbbox()
    if box is None:
        return None
    image = image.crop(box)
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    lab = _lab(pixels[..., :3])
    light = lab[0][pixels[..., 3] > 127]
    if max(image.size) < SMALLEST_SIDE or light.size == 0 or light.std() < FLATTEST:
        return None
    layers = [lab[0] * 2.55, _takes_color(lab, pixels[..., 3]) * 255, 0 * lab[0], pixels[..., 3]]
    shading = Image.fromarray(np.stack(layers, axis=-1).round().astype(np.uint8))
    return CutOut(name, image, shading)


def _lab(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    image = torch.from_numpy(rgb.copy()).movedim(-1, 0)[None] / 255
    return rgb_to_lab(image)[0].numpy()


def _takes_color(lab: NDArray[np.float32], alpha: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How much of a new color each pixel takes, 0 to 1: neutral parts of a colored thing none.

    A red car has black tires, and so has a blue one. Things that have little color, or color in
    few places, take the new one everywhere.
    """
    chroma = np.hypot(lab[1], lab[2])
    inside = alpha > 127
    main = float(np.quantile(chroma[inside], 0.75))
    takes = ((chroma / max(main, 1e-3) - 0.1) / 0.25).clip(0, 1).astype(np.float32)
    mostly = main > MAIN_CHROMA and takes[inside].mean() > MAIN_SHARE
    return takes if mostly else np.ones_like(takes)
