"""The eleven basic color terms, and which of them a color is."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .lock import into_gamut

# a*, b* of a typical surface of each color (after the foci of Berlin and Kay's basic terms).
PROTOTYPES = {
    "red": (58.0, 36.0),
    "orange": (34.0, 60.0),
    "yellow": (2.0, 74.0),
    "green": (-44.0, 30.0),
    "blue": (4.0, -47.0),
    "purple": (38.0, -38.0),
    "pink": (37.0, 0.0),
    "brown": (14.0, 25.0),
    "black": (0.0, 0.0),
    "white": (0.0, 0.0),
    "gray": (0.0, 0.0),
}
TERMS = tuple(PROTOTYPES)
ALIKE = 10.0


class ColorNameError(ValueError):
    """A word that is not one of the basic color terms."""


def nearest_term(mean_lab: Sequence[float] | Tensor) -> str:
    """The basic color term whose color at this lightness is nearest in a*b*.

    Among black, gray and white, lightness decides.

    Args:
        mean_lab: the three values L, a*, b* of a color, usually the mean of an object.
    """
    lab = _as_color(mean_lab)
    distances = (terms_at(float(lab[0])) - lab[1:]).norm(dim=1)
    term = TERMS[int(distances.argmin())]
    return _neutral(float(lab[0])) if term == "black" else term


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
    lab = _as_color(mean_lab)
    colors = terms_at(float(lab[0]))
    nearest = colors[(colors - lab[1:]).norm(dim=1).argmin()]
    return bool((colors[TERMS.index(term)] - nearest).norm() <= ALIKE)


def terms_at(lightness: float) -> Tensor:
    """a*b* of every basic term at a CIE L, inside the sRGB gamut: 11,2 in the order of `TERMS`."""
    ab = torch.tensor(list(PROTOTYPES.values()))
    lab = torch.cat([torch.full((len(ab), 1), lightness), ab], dim=1)
    return into_gamut(lab.T[None, :, :, None])[0, 1:, :, 0].T


def _as_color(mean_lab: Sequence[float] | Tensor) -> Tensor:
    return torch.as_tensor(mean_lab, dtype=torch.float32).flatten()


def _neutral(lightness: float) -> str:
    if lightness < 30:
        return "black"
    return "gray" if lightness < 75 else "white"
