"""Painting objects and surfaces in named colors, with their shading kept.

Everything here is a palette: a table of 256 sRGB colors, one for each lightness. Looking a
picture's lightness up in it costs next to nothing, whatever the picture's size.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..color.lab import lab_to_rgb
from ..color.lock import into_gamut
from ..color.names import ALIKE, TERMS, terms_at

Array = NDArray[np.float64]
LEVELS = np.linspace(0.0, 100.0, 256)


@dataclass(frozen=True)
class Paint:
    """The natural range of a color term, from the first value to the second.

    Attributes:
        lightness: mean CIE L of most objects called so.
        widest: mean CIE L of any object called so (a dark red, a light blue).
        chroma: mean CIE chroma.
        hue: CIE hue angle, degrees.
    """

    lightness: tuple[float, float]
    widest: tuple[float, float]
    chroma: tuple[float, float]
    hue: tuple[float, float]


_BASIC = {
    "red": Paint((28, 52), (22, 62), (50, 74), (26, 38)),
    "orange": Paint((54, 70), (46, 76), (56, 78), (54, 67)),
    "yellow": Paint((66, 90), (48, 94), (52, 84), (84, 97)),
    "green": Paint((28, 72), (18, 84), (34, 62), (126, 157)),
    "blue": Paint((22, 64), (14, 80), (34, 58), (262, 286)),
    "purple": Paint((20, 58), (14, 74), (38, 64), (307, 324)),
    "pink": Paint((58, 82), (46, 86), (26, 48), (346, 366)),
    "brown": Paint((20, 44), (14, 52), (20, 34), (52, 68)),
    "black": Paint((6, 22), (4, 28), (0, 4), (0, 360)),
    "white": Paint((80, 95), (74, 97), (0, 5), (0, 360)),
    "gray": Paint((36, 68), (26, 76), (0, 4), (0, 360)),
}

# After what people commonly call so, as far as the surfaces of things reach it.
FURTHER = {
    "azure": Paint((46, 62), (40, 68), (40, 56), (266, 280)),
    "beige": Paint((78, 90), (72, 93), (12, 24), (82, 98)),
    "burgundy": Paint((15, 28), (12, 32), (28, 44), (2, 18)),
    "charcoal": Paint((16, 32), (12, 36), (0, 5), (200, 280)),
    "chocolate": Paint((16, 34), (12, 38), (18, 30), (48, 62)),
    "coral": Paint((60, 72), (54, 76), (46, 64), (32, 44)),
    "cream": Paint((88, 96), (84, 97), (12, 24), (92, 106)),
    "crimson": Paint((28, 44), (24, 48), (54, 72), (20, 34)),
    "cyan": Paint((68, 90), (60, 92), (34, 48), (196, 218)),
    "emerald": Paint((40, 62), (32, 66), (44, 60), (150, 164)),
    "gold": Paint((62, 82), (54, 86), (50, 74), (80, 91)),
    "indigo": Paint((14, 34), (10, 38), (34, 56), (297, 308)),
    "khaki": Paint((56, 74), (48, 78), (22, 38), (92, 106)),
    "lavender": Paint((68, 84), (62, 88), (18, 34), (296, 312)),
    "lilac": Paint((66, 80), (60, 84), (22, 40), (314, 328)),
    "lime": Paint((72, 88), (64, 90), (60, 84), (114, 127)),
    "magenta": Paint((40, 58), (34, 64), (56, 80), (332, 350)),
    "maroon": Paint((16, 28), (12, 32), (30, 46), (14, 30)),
    "mauve": Paint((50, 66), (44, 70), (16, 28), (330, 358)),
    "mint": Paint((80, 92), (74, 94), (24, 42), (148, 168)),
    "mustard": Paint((58, 74), (50, 76), (48, 66), (84, 94)),
    "navy": Paint((8, 22), (5, 28), (20, 38), (276, 294)),
    "ochre": Paint((50, 66), (44, 70), (38, 56), (74, 84)),
    "olive": Paint((38, 54), (30, 58), (36, 52), (100, 112)),
    "rust": Paint((32, 48), (26, 52), (44, 62), (46, 56)),
    "salmon": Paint((64, 78), (58, 80), (34, 50), (32, 48)),
    "scarlet": Paint((38, 54), (34, 58), (66, 86), (36, 44)),
    "silver": Paint((68, 82), (62, 88), (0, 4), (200, 280)),
    "tan": Paint((62, 78), (54, 82), (22, 36), (74, 86)),
    "teal": Paint((32, 52), (26, 58), (26, 38), (188, 208)),
    "turquoise": Paint((62, 80), (54, 84), (36, 48), (178, 202)),
    "violet": Paint((36, 60), (30, 64), (48, 74), (306, 318)),
}
# "Light red" would be pink, "dark yellow" olive, and "dark orange" brown.
_LIGHT = ("blue", "brown", "gray", "green", "orange", "pink", "purple", "yellow")
_DARK = ("blue", "brown", "gray", "green", "pink", "purple", "red")


def _lighter(paint: Paint) -> Paint:
    (low, high), top = paint.lightness, paint.widest[1]
    least = high - 0.25 * (high - low)
    return replace(paint, lightness=(least, top), widest=(least, top))


def _darker(paint: Paint) -> Paint:
    (low, high), bottom = paint.lightness, paint.widest[0]
    most = low + 0.25 * (high - low)
    return replace(paint, lightness=(bottom, most), widest=(bottom, most))


MODIFIED = {
    **{f"light {term}": _lighter(_BASIC[term]) for term in _LIGHT},
    **{f"dark {term}": _darker(_BASIC[term]) for term in _DARK},
}
PAINTS = _BASIC | FURTHER | MODIFIED
"""Every color term that things can be painted in."""

CLEARLY = 24.0
"""Distance in CIE Lab from which on two color terms tell things of one kind apart."""


def draw_terms(count: int, rng: np.random.Generator, *, basic: bool, apart: bool) -> list[str]:
    """Color terms: four fifths basic ones, the rest further ones and light or dark ones.

    Args:
        count: how many.
        rng: draws them.
        basic: basic ones only.
        apart: all clearly different, so that they tell things of one kind apart.
    """
    drawn: list[str] = []
    while len(drawn) < count:
        sort = 0 if basic else rng.choice(3, p=[0.8, 0.12, 0.08])
        term = str(rng.choice((TERMS, tuple(FURTHER), tuple(MODIFIED))[sort]))
        if not apart or all(_distance(term, other) >= CLEARLY for other in drawn):
            drawn.append(term)
    return drawn


def _distance(one: str, other: str) -> float:
    """Between the middles of two terms' ranges, in CIE Lab."""
    return float(np.linalg.norm(_middle(PAINTS[one]) - _middle(PAINTS[other])))


def _middle(paint: Paint) -> Array:
    chroma, angle = np.mean(paint.chroma), np.radians(np.mean(paint.hue))
    return np.array([np.mean(paint.lightness), chroma * np.cos(angle), chroma * np.sin(angle)])


@dataclass(frozen=True)
class _Palette:
    """What becomes of each of 256 levels of lightness.

    Attributes:
        color: 256,3 CIE Lab of parts that take the color.
        mean: CIE Lab of the whole object.
        relaxed: how far, from 0 to 1, the object was changed so that it can have the color.
    """

    color: Array
    mean: Array
    relaxed: float

    def apply(self, shading: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """H,W,4 sRGB and alpha of an object's `CutOut.shading`."""
        gray = self.color * [1, 0, 0]
        rgb = to_rgb(np.concatenate([gray, self.color])).astype(np.float32)
        light, takes, alpha = shading[..., 0], shading[..., 1], shading[..., 3]
        amount = np.maximum(takes / np.float32(255), np.float32(self.relaxed))[..., None]
        pixels = rgb[:256][light] * (1 - amount) + rgb[256:][light] * amount
        return np.dstack([pixels.round().astype(np.uint8), alpha])


class Painter:
    """Draws palettes; holds the tables that make it fast."""

    def __init__(self) -> None:
        self._limits = _gamut_limits()
        self._terms = terms_at(torch.arange(101.0)).numpy()

    def paint(
        self, shading: NDArray[np.uint8], term: str, rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """An object's pixels in the color of a term, H,W,4 sRGB with alpha.

        The mean color that results is, by `color_matches`, the basic term's ("light blue" counts
        as blue), or near the middle of a further term's range. A thing of little but
        black and white cannot have every color unless its contrast is reduced and its neutral
        parts are painted too: both go as far as needed.

        Args:
            shading: H,W,4, as `CutOut.shading`.
            term: one of `PAINTS`.
            rng: draws the color's exact hue, chroma and lightness.
        """
        inside = shading[..., 3] > 127
        level, takes = shading[..., 0][inside], shading[..., 1][inside] / 255
        share = np.bincount(level, minlength=256) / max(level.size, 1)
        curve = _tone_curve(share, _wanted_lightness(PAINTS[term], share, rng))
        palette = self._palette(PAINTS[term], curve, level, takes, 0, rng)
        while palette.relaxed < 1 and not self._is(term, palette.mean):
            relaxed = palette.relaxed + 0.125
            palette = self._palette(PAINTS[term], curve, level, takes, relaxed, rng)
        return palette.apply(shading)

    def _palette(
        self,
        paint: Paint,
        curve: Array,
        level: NDArray[np.uint8],
        takes: Array,
        relaxed: float,
        rng: np.random.Generator,
    ) -> _Palette:
        share = np.bincount(level, minlength=256) / max(level.size, 1)
        colored = np.bincount(level, np.maximum(takes, relaxed), 256) / max(level.size, 1)
        mean = float(share @ curve)
        softer = mean + (curve - mean) * (1 - 0.6 * relaxed)
        lab = self._shade(softer, colored, rng.uniform(*paint.chroma), rng.uniform(*paint.hue))
        return _Palette(lab, np.array([mean, *(colored @ lab[:, 1:])]), relaxed)

    def draw(self, term: str, rng: np.random.Generator) -> Array:
        """A Lab color that is called `term`."""
        paint = PAINTS[term]
        lightness, chroma = rng.uniform(*paint.lightness), rng.uniform(*paint.chroma)
        angle = np.radians(rng.uniform(*paint.hue))
        return self._tinted(np.array([lightness]), np.array([chroma]), angle)[0]

    def ramp(self, start: Array, end: Array) -> NDArray[np.uint8]:
        """256,3 sRGB colors from one Lab color to another."""
        weight = np.linspace(0, 1, 256)[:, None]
        return to_rgb(self.limit(start * (1 - weight) + end * weight))

    def limit(self, lab: Array) -> Array:
        """N,3 Lab colors moved into the gamut along chroma (to within about one unit)."""
        hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])).round().astype(int) % 360
        limit = self._limits[lab[:, 0].round().astype(int).clip(0, 100), hue]
        chroma = np.hypot(lab[:, 1], lab[:, 2])
        scale = np.minimum(1.0, limit / np.maximum(chroma, 1e-6))
        return np.stack([lab[:, 0], lab[:, 1] * scale, lab[:, 2] * scale], axis=1)

    def _shade(self, curve: Array, share: Array, chroma: float, hue: float) -> Array:
        """Lab of every level of a matte surface with white highlights, of a mean chroma.

        Light scales X, Y and Z alike, so a surface's chroma follows L + 16; highlights have the
        light's own color. What the gamut cuts off in some levels, the others make up for.
        """
        mean = float(share @ curve) / max(float(share.sum()), 1e-6)
        bright = min(94.0, mean + 28)
        profile = (curve + 16) * ((100 - curve) / (100 - bright)).clip(0, 1) ** 0.7
        angle = np.radians(hue)
        scale = chroma / max(float(share @ profile), 1e-6)
        lab = self._tinted(curve, profile * scale, angle)
        for _ in range(3):
            got = float(share @ np.hypot(lab[:, 1], lab[:, 2]))
            scale *= min(chroma / max(got, 1e-6), 1.6)
            lab = self._tinted(curve, profile * scale, angle)
        return lab

    def _tinted(self, lightness: Array, chroma: Array, angle: float) -> Array:
        lab = [lightness, chroma * np.cos(angle), chroma * np.sin(angle)]
        return self.limit(np.stack(lab, axis=1))

    def _is(self, term: str, mean: Array) -> bool:
        term = term.split()[-1]
        if term in FURTHER:
            middle = self.limit(np.array([[mean[0], *_middle(FURTHER[term])[1:]]]))[0]
            enough = max(ALIKE, 0.3 * float(np.hypot(*middle[1:])))
            return bool(np.linalg.norm(middle[1:] - mean[1:]) <= enough)
        colors = self._terms[int(mean[0].round())]
        nearest = colors[np.linalg.norm(colors - mean[1:], axis=1).argmin()]
        return bool(np.linalg.norm(colors[TERMS.index(term)] - nearest) <= ALIKE)


def to_rgb(lab: Array) -> NDArray[np.uint8]:
    """sRGB, N,3 uint8, of N,3 Lab colors."""
    image = torch.from_numpy(lab.T.astype(np.float32))[None, :, :, None]
    return (lab_to_rgb(image)[0, :, :, 0].T * 255).round().to(torch.uint8).numpy()


def _wanted_lightness(paint: Paint, share: Array, rng: np.random.Generator) -> float:
    """The mean L to paint an object at: its own, or what the color needs at the least."""
    own = float(share @ LEVELS)
    low, high = paint.lightness if rng.random() < 0.7 else paint.widest
    reach = 0.5 * (high - low)
    return min(max(own, low + rng.uniform(0, reach)), high - rng.uniform(0, reach))


def _tone_curve(share: Array, wanted: float) -> Array:
    """L of every level so that the mean is `wanted`: a gamma, then a mix with black or white."""
    own = float(share @ LEVELS)
    gamma = np.log(wanted / 100) / np.log(min(max(own, 1.0), 99.0) / 100)
    curve = 100 * (LEVELS / 100) ** min(max(gamma, 0.45), 2.2)
    mean = float(share @ curve)
    end = 98.0 if wanted > mean else 2.0
    weight = min(max((wanted - mean) / (end - mean), 0.0), 1.0) if abs(end - mean) > 1 else 0.0
    return curve * (1 - weight) + end * weight


def _gamut_limits() -> Array:
    """101,360: the largest chroma inside sRGB at every whole L and degree of hue."""
    light, hue = torch.meshgrid(torch.arange(101.0), torch.arange(360.0), indexing="ij")
    angle = hue.deg2rad()
    lab = torch.stack([light, 140 * angle.cos(), 140 * angle.sin()])[None]
    inside = into_gamut(lab)[0]
    return torch.hypot(inside[1], inside[2]).double().numpy()
