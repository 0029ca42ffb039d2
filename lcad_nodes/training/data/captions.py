"""What is said of photos: caption files, and descriptions cut to any level of detail."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...color.names import TERMS

Captions = dict[str, tuple[str, ...]]

_NUMBERED = re.compile(r"(?P<name>.+\.\w+)_\d+")
_PARTS = re.compile(r"[,.;]+\s*|\s+and\s+(?=(?:an?|the|one|two|three|another|other|i|there)\b)")
_SIDES = re.compile(r"\b(left|right)", re.IGNORECASE)


class CaptionsError(ValueError):
    """A caption file is not in a known format; the message names file and place."""


@dataclass(frozen=True)
class Detail:
    """How much of a description is kept, so that every level of detail is learned.

    Attributes:
        dropped: share of descriptions left out altogether.
        shortened: share of descriptions that lose a part.
    """

    dropped: float
    shortened: float

    def __call__(self, texts: tuple[str, ...], rng: np.random.Generator) -> str:
        """Pick one of a photo's descriptions and leave out what chance says; "" if there is none.

        The draws from `rng` are as many whatever comes of them.
        """
        which, fate, part = rng.random(3)
        if not texts or fate < self.dropped:
            return ""
        text = texts[int(which * len(texts))]
        return shorten(text, part) if fate < self.dropped + self.shortened else text


def shorten(text: str, place: float) -> str:
    """Leave out one of a description's parts or, if it has only one, one of its color words.

    Args:
        text: "a red cup, a blue plate and a spoon".
        place: in [0, 1): which of them.
    """
    parts = [part for part in _PARTS.split(text) if part]
    if len(parts) > 1:
        del parts[int(place * len(parts))]
        return ", ".join(parts)
    words = text.split()
    colors = [index for index, word in enumerate(words) if word.lower() in TERMS]
    if colors:
        del words[colors[int(place * len(colors))]]
    return " ".join(words)


def tells_sides(text: str) -> bool:
    """Whether a description would be wrong of the mirrored photo."""
    return _SIDES.search(text) is not None


def read_captions(path: Path) -> Captions:
    """Read the descriptions of photos, by file name.

    Known formats: COCO's own (`images` and `annotations`); a list of texts for every file name;
    and one text for every `<file name>_<number>`, as in Extended COCO-Stuff and Multi-instances.

    Raises:
        CaptionsError: if the file is none of these.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CaptionsError(f"{path} cannot be read as captions: {error}") from error
    if not isinstance(content, dict):
        raise CaptionsError(f"{path}: expected an object, not {type(content).__name__}")
    pairs = _coco(content, path) if "annotations" in content else content.items()
    captions: dict[str, list[str]] = {}
    for name, texts in pairs:
        if isinstance(texts, str):
            numbered = _NUMBERED.fullmatch(name)
            name, texts = (numbered["name"] if numbered else name), [texts]
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise CaptionsError(f"{path}: {name}: expected a text or a list of texts")
        captions.setdefault(name, []).extend(text.strip() for text in texts)
    return {name: tuple(texts) for name, texts in captions.items()}


def _coco(content: Mapping[str, Any], path: Path) -> list[tuple[str, Any]]:
    try:
        names = {image["id"]: image["file_name"] for image in content["images"]}
        return [(names[a["image_id"]], a["caption"]) for a in content["annotations"]]
    except (KeyError, TypeError) as error:
        raise CaptionsError(
            f"{path}: not COCO captions: images need id and file_name, annotations image_id and "
            f"caption ({type(error).__name__}: {error})"
        ) from error
