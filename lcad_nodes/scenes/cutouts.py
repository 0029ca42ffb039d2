"""Cut-out objects with names, read from stamps as Tux Paint has them."""

import logging
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..color.lab import rgb_to_lab
from ..color.names import TERMS
from ..files.pictures import BROKEN

logger = logging.getLogger(__name__)

Split = Literal["train", "held_out"]

LARGEST_SIDE = 384
SMALLEST_SIDE = 72
LONGEST_NAME = 3  # words
FLATTEST = 5.0  # standard deviation of L; below it are silhouettes and glyphs
MAIN_CHROMA = 20.0  # at the least, of a thing's colored parts, for its others to stay neutral
MAIN_SHARE = 0.6  # of its area

# Neither objects nor pictures of them.
_UNUSABLE_FOLDER = re.compile("symbols|roadsigns|hanukkah|newyears|naturalforces")
# Of Tux Paint's, seen on a contact sheet to be outlines, several things at once, cut badly, or
# transparent.
_UNUSABLE_FILE = re.compile(
    "animals/(fish/lionfish|insects/cartoon/(spider_.*|wings))|clothes/hats/propeller_hat"
    "|household/dishes/glass|medical/mercurythermometer|military/ammunition/old_naval_shell"
    "|people/body_parts/eye|seasonal/(christmas/(lamp|star)|easter/(bunny-egg|chick-.*)"
    "|halloween/ghost)|space/(moon/moon_crescent|planets/0_sun)"
    "|sports/(cartoon/football_helmet_.*|rugby_goal_posts)|town/cartoon/(docks|mine)"
    "|town/monuments/(cartoon/(graveyard|magic_stones)|inukshuk-outline)"
    "|vehicles/emergency/sedan_police"
)
# Words of a caption that say nothing about what the thing is, or would contradict a new color.
_FILLER = re.compile(
    "a|an|the|and|very|big|huge|large|small|little|old|modern|happy|colorful|tough|ripe|fast"
    "|golden|silver|albino|covered|male|female|singing|sleeping|sitting|baby|" + "|".join(TERMS)
)
_VARIANT = re.compile(r"(?<=[^\W\d_])[-_]?[1-9]\d{0,2}$|[-_]{1,2}[a-z]$")
_NAME = re.compile("[a-z]+([ -][a-z]+)*")
_MARKS = str.maketrans(dict.fromkeys("\"'\u201c\u201d"))  # quotation marks
_COUNTED = re.compile(r"\b(pair|bunch|cluster|head|quarter) of\b|\u2019s\b")
# Where a caption's first noun phrase ends.
_END = re.compile(r"[.!?,;:(\u2013\u2014]| (of|with|in|is|at|for|used|making|resembles) ")


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


def read_cutouts(folders: Sequence[Path], split: Split) -> tuple[CutOut, ...]:
    """Every usable cut-out below folders of stamps that belongs to the split, by path.

    A PNG is usable when a caption lies beside it (.txt, UTF-8, English in its first line) that
    begins with an article and is a short noun phrase, and when it is large and shaded enough.
    A fifth is held out, by a hash of its place without its variant's number or letter. What cannot
    be read is named in the log and left out.

    Raises:
        StampsError: a folder does not exist, or nothing usable is in any.
    """
    if missing := [str(folder) for folder in folders if not folder.is_dir()]:
        raise StampsError(f"There is no folder of stamps at {', '.join(missing)}.")
    cutouts = [
        cutout
        for folder in folders
        for path in sorted(folder.rglob("*.png"))
        if split_of(place := _place(path)) == split and (cutout := _read(path, place))
    ]
    if not cutouts:
        where = ", ".join(map(str, folders))
        raise StampsError(
            f"{where}: no usable cut-outs of the split {split!r}; PNGs with .txt beside are needed."
        )
    return tuple(cutouts)


def split_of(relative: Path) -> Split:
    """Which split a file belongs to; variants (frog, frog-1, grave_a, grave_b) stay together.

    A camera's numbers (IMG_0012, 20240131, 000000000139) are no variants: each is by itself.
    """
    family = _VARIANT.sub("", relative.stem.lower())
    key = (relative.parent / family).as_posix()
    return "held_out" if zlib.crc32(key.encode()) % 5 == 0 else "train"


def _place(path: Path) -> Path:
    """The path below the folder that Tux Paint calls `stamps`, elsewhere the name alone.

    So that it is the same whichever folder above the file is named.
    """
    above = path.parent.resolve()
    roots = (folder for folder in (above, *above.parents) if folder.name == "stamps")
    return above.relative_to(next(roots, above)) / path.name


def object_name(caption: str) -> str | None:
    """The short name in a stamp's caption ("A red apple, sliced." is "apple"), or None."""
    plain = _COUNTED.sub("", caption.strip()).translate(_MARKS)
    words = _END.split(plain)[0].lower().split()
    if not words or words[0] not in {"a", "an", "the"}:
        return None
    kept = [word for word in words if not _FILLER.fullmatch(word)]
    name = " ".join(kept)
    an_orange = words[-1] in TERMS
    if an_orange or len(kept) > LONGEST_NAME or not _NAME.fullmatch(name):
        return None
    return name


def _read(path: Path, place: Path) -> CutOut | None:
    caption = path.with_suffix(".txt")
    unusable = _UNUSABLE_FILE.fullmatch(place.with_suffix("").as_posix()) or any(
        map(_UNUSABLE_FOLDER.fullmatch, place.parts[:-1])
    )
    if unusable or not caption.exists():
        return None
    try:
        name = object_name(caption.read_text(encoding="utf-8").split("\n", 1)[0])
        return _load(path, name) if name else None
    except (*BROKEN, Image.DecompressionBombError) as error:
        logger.warning("%s or its caption cannot be read and is left out: %s", path, error)
        return None


def _load(path: Path, name: str) -> CutOut | None:
    with Image.open(path, formats=("PNG",)) as opened:
        image = opened.convert("RGBA")
    box = image.getchannel("A").point([255 * (a > 24) for a in range(256)]).getbbox()
    if box is None:
        return None
    image = image.crop(box)
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    lab = lab_of(pixels[..., :3])
    light = lab[0][pixels[..., 3] > 127]
    if max(image.size) < SMALLEST_SIDE or light.size == 0 or light.std() < FLATTEST:
        return None
    return CutOut(name, image, shading(lab, pixels[..., 3]))


def lab_of(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """3,H,W CIE Lab of H,W,3 sRGB."""
    image = torch.from_numpy(rgb.copy()).movedim(-1, 0)[None] / 255
    return rgb_to_lab(image)[0].numpy()


def shading(lab: NDArray[np.float32], alpha: NDArray[np.uint8]) -> Image.Image:
    """What `CutOut.shading` is.

    Args:
        lab: 3,H,W CIE Lab.
        alpha: the outline, H,W.
    """
    layers = [lab[0] * 2.55, _takes_color(lab, alpha) * 255, 0 * lab[0], alpha]
    return Image.fromarray(np.stack(layers, axis=-1).round().astype(np.uint8))


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
