"""The eleven basic color terms, and which of them a color is."""

import re
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from . import measures
from .lock import into_gamut

# a*, b* of a typical surface of each color (after the foci of Berlin and Kay's basic terms).
PROTOTYPES = {
    "red": (58.0, 36.0),
    "orange": (34.0, 60.0),
    "yellow": (2.0, 74.0),
    "green": (-44.0, 30.0),
    "blue": (8.0, -49.0),
    "purple": (42.0, -37.0),
    "pink": (37.0, 0.0),
    "brown": (14.0, 25.0),
    "black": (0.0, 0.0),
    "white": (0.0, 0.0),
    "gray": (0.0, 0.0),
}
VIVID = {
    "yellow": (-21.0, 94.0),
    "green": (-86.0, 83.0),
    "blue": (60.0, -95.0),
    "purple": (70.0, -76.0),
}
"""a*, b* of the strongest that screens show of a color, where CIE Lab bends its hue: pure blue lies
nearer to a typical purple than to a typical blue, and pure yellow to green."""
TERMS = tuple(PROTOTYPES)
SPELLINGS = {**{term: term for term in TERMS}, "grey": "gray"}
"""The words for the terms, and which term each stands for."""
ALIKE = 10.0


class ColorNameError(ValueError):
    """A word that is not one of the basic color terms."""


def color_matches(mean_lab: Sequence[float] | Tensor, term: str) -> bool:
    """Whether a color counts as `term`.

    It does when its a*b* is nearest, among all basic colors taken at its own lightness and
    inside the gamut, typical and vivid, to the one named; colors that coincide there (within 10)
    count as one, and so do black, gray and white. Lightness itself does not count, so that a strong
    brown is an orange; where two names meet, as in amber, lime or a very pale color, the nearest
    may be the other one.

    Args:
        mean_lab: the three values L, a*, b* of a color, usually the mean of an object.
        term: one of `TERMS`.

    Raises:
        ColorNameError: `term` is not a basic color term.
    """
    if term not in PROTOTYPES:
        raise ColorNameError(f"{term!r} is not a basic color term; they are {', '.join(TERMS)}.")
    lab = torch.as_tensor(mean_lab, dtype=torch.float32, device="cpu").flatten()
    lightness, ab = lab[:1], lab[1:]
    typical = terms_at(lightness)[0]
    colors = torch.cat([typical, _at(lightness, VIVID.values())[0]])
    nearest = int((colors - ab).norm(dim=1).argmin())
    alike = (typical[TERMS.index(term)] - colors[nearest]).norm() <= ALIKE
    return (*TERMS, *VIVID)[nearest] == term or bool(alike)


def named_in(text: str) -> str | None:
    """The basic color term among the words of a text, "grey" too; None if it names none or several.

    A thing that is said to be of several colors is right in each and in none.
    """
    words = re.findall(rf"\b({'|'.join(SPELLINGS)})\b", text.lower())
    named = {SPELLINGS[word] for word in words}
    return named.pop() if len(named) == 1 else None


def judge_objects(image: Tensor, things: Iterable[tuple[str, Tensor]]) -> list[tuple[str, bool]]:
    """The color asked of each thing, and whether it got it; only of things that have one color.

    Args:
        image: 3,H,W sRGB in [0, 1].
        things: what was said of each (see `named_in`), and its mask, H,W in [0, 1].

    Raises:
        ImageError: the mask of a thing with a color is empty or of another size.
    """
    asked = [(color, mask) for text, mask in things if (color := named_in(text))]
    return [(color, color_matches(measures.mean_lab(image, mask), color)) for color, mask in asked]


def terms_at(lightness: Tensor) -> Tensor:
    """a*b* of what is typical of the basic terms at each CIE L, inside the sRGB gamut.

    Args:
        lightness: N values in [0, 100].

    Returns:
        N,11,2 in the order of `TERMS`.
    """
    return _at(lightness, PROTOTYPES.values())


def _at(lightness: Tensor, colors: Iterable[tuple[float, float]]) -> Tensor:
    ab = torch.tensor(list(colors), dtype=lightness.dtype).T
    grid = ab[None, :, None, :].expand(1, 2, len(lightness), -1)
    level = lightness[None, None, :, None].expand(1, 1, -1, ab.shape[1])
    return into_gamut(torch.cat([level, grid], dim=1))[0, 1:].movedim(0, -1)
