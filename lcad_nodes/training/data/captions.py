"""What is said of photos, cut to any level of detail."""

import re

import numpy as np

from ...color.names import SPELLINGS

_PARTS = re.compile(r"[,.;]+\s*|\s+and\s+(?=(?:an?|the|one|two|three|another|other|i|there)\b)")
_COLOR = f"(?:{'|'.join(SPELLINGS)})"
_COLORS = re.compile(rf"(?<!\S){_COLOR}(?: and {_COLOR})*(?: and)?(?!\S) ?", re.IGNORECASE)
_VOWEL = re.compile(r"(?!one\b|eu|u[nr]i|u[st])[aeiou]", re.IGNORECASE)
_SIDES = re.compile(r"\b(left|right)", re.IGNORECASE)


def pick(texts: tuple[str, ...], dropped: float, shortened: float, rng: np.random.Generator) -> str:
    """Pick one of a photo's descriptions, at a level of detail that chance says.

    Args:
        texts: the descriptions; "" is picked where there is none.
        dropped: share left out altogether.
        shortened: share that loses a part.
        rng: three numbers are drawn, whatever comes of them.
    """
    which, fate, part = rng.random(3)
    if not texts or fate < dropped:
        return ""
    text = texts[int(which * len(texts))]
    return shorten(text, part) if fate < dropped + shortened else text


def shorten(text: str, place: float) -> str:
    """Leave out one of a description's parts or, if it has only one, what it says of one color.

    Args:
        text: "a red cup, a blue plate and a spoon"; "a black and white dog" becomes "a dog".
        place: in [0, 1): which of them.
    """
    parts = [part for part in _PARTS.split(text) if part]
    if len(parts) > 1:
        del parts[int(place * len(parts))]
        return ", ".join(parts)
    text = " ".join(" ".join(parts).split())
    colors = list(_COLORS.finditer(text))
    if colors:
        color = colors[int(place * len(colors))]
        rest = text[color.end() :]
        article = r"\1n " if _VOWEL.match(rest) else r"\1 "
        text = re.sub(r"\b(a)n? $", article, text[: color.start()], flags=re.IGNORECASE) + rest
    return text.strip()


def tells_sides(text: str) -> bool:
    """Whether a description would be wrong of the mirrored photo."""
    return _SIDES.search(text) is not None
