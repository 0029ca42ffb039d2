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

from lcad_nodes.color.lab import lightness
from lcad_nodes.color.names import TERMS

Split = Literal["train", "held_out"]

LARGEST_SIDE = 384
SMALLEST_SIDE = 72
LONGEST_NAME = 3  # words
FLATTEST = 5.0  # standard deviation of L; below it are silhouettes and glyphs

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
        lightness: H,W uint8, CIE L times 2.55.
        alpha: H,W uint8.
        rgb: H,W,3 uint8 sRGB.
    """

    name: str
    lightness: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    rgb: NDArray[np.uint8]


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
    rgb, alpha = pixels[..., :3].copy(), pixels[..., 3].copy()
    light = _lightness(rgb)
    inside = light[alpha > 127]
    if max(image.size) < SMALLEST_SIDE or inside.size == 0 or inside.std() / 2.55 < FLATTEST:
        return None
    return CutOut(name, light, alpha, rgb)


def _lightness(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = torch.from_numpy(rgb).movedim(-1, 0)[None] / 255
    return (lightness(image)[0, 0] * 2.55).round().to(torch.uint8).numpy()
