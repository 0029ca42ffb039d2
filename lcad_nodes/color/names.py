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
TERMS = tuple(PROTOTYPES)
SPELLINGS = {**{term: term for term in TERMS}, "grey": "gray"}
"""The words for the terms, and which term each stands for."""
ALIKE = 10.0


class ColorNameError(ValueError):
    """A word that is not one of the basic color terms."""


def color_matches(mean_lab: Sequence[float] | Tensor, term: str) -> bool:
    """Whether a color counts as `term`.

    It does when its a*b* is nearest, among all basic colors taken at its own lightness and
    inside the gamut, to the one named; colors that coincide there (within 10) count as one,
    and so do black, gray and white.

    Args:
        mean_lab: the three values L, a*, b* of a color, usually the mean of an object.
        term: one of `TERMS`.

    Raises:
        ColorNameError: `term` is not a basic color term.
    """
    if term not in PROTOTYPES:
        raise ColorNameError(f"{term!r} is not a basic color term; they are {', '.join(TERMS)}.")
    lightness, ab = _split(mean_lab)
    colors = terms_at(lightness)[0]
    nearest = colors[(colors - ab).norm(dim=1).argmin()]
    return bool((colors[TERMS.index(term)] - nearest).norm() <= ALIKE)


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
    """a*b* of the basic terms at each CIE L, inside the sRGB gamut.

    Args:
        lightness: N values in [0, 100].

    Returns:
        N,11,2 in the order of `TERMS`.
    """
    ab = torch.tensor(list(PROTOTYPES.values()), dtype=lightness.dtype).T
    grid = ab[None, :, None, :].expand(1, 2, len(lightness), -1)
    level = lightness[None, None, :, None].expand(1, 1, -1, len(TERMS))
    return into_gamut(torch.cat([level, grid], dim=1))[0, 1:].movedim(0, -1)


def _split(mean_lab: Sequence[float] | Tensor) -> tuple[Tensor, Tensor]:
    """L, as a tensor of one, and a*b* of a color, on the CPU as the terms are."""
    lab = torch.as_tensor(mean_lab, dtype=torch.float32, device="cpu").flatten()
    return lab[:1], lab[1:]
