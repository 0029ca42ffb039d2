"""Painting objects and surfaces in named colors, with their shading kept.

Everything here is a palette: a table of 256 sRGB colors, one for each lightness. Looking a
picture's lightness up in it costs next to nothing, whatever the picture's size.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lcad_nodes.color.lab import lab_to_rgb
from lcad_nodes.color.lock import into_gamut
from lcad_nodes.color.names import ALIKE, TERMS, terms_at

LEVELS = np.linspace(0.0, 100.0, 256)


@dataclass(frozen=True)
class Paint:
    """The natural range of a color term, from the first value to the second.

    Attributes:
        lightness: mean CIE L of objects called so.
        chroma: CIE chroma at the mean lightness.
        hue: CIE hue angle, degrees.
        adapts: whether dark and light objects are called so too (a dark red, a light blue).
    """

    lightness: tuple[float, float]
    chroma: tuple[float, float]
    hue: tuple[float, float]
    adapts: bool = False


PAINTS = {
    "red": Paint((28, 54), (52, 78), (27, 40), adapts=True),
    "orange": Paint((55, 76), (56, 82), (54, 68)),
    "yellow": Paint((66, 92), (55, 88), (84, 97), adapts=True),
    "green": Paint((28, 72), (34, 66), (126, 157), adapts=True),
    "blue": Paint((22, 66), (36, 60), (262, 286), adapts=True),
    "purple": Paint((20, 58), (42, 68), (307, 324), adapts=True),
    "pink": Paint((58, 84), (26, 52), (346, 366)),
    "brown": Paint((20, 44), (22, 38), (52, 68)),
    "black": Paint((6, 22), (0, 4), (0, 360)),
    "white": Paint((80, 95), (0, 5), (0, 360)),
    "gray": Paint((36, 68), (0, 4), (0, 360)),
}


class Painter:
    """Draws palettes; holds the tables that make it fast."""

    def __init__(self) -> None:
        self._limits = _gamut_limits()
        self._terms = np.stack([terms_at(float(level)).numpy() for level in range(101)])

    def object_palette(
        self, term: str, lightness: NDArray[np.uint8], rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """256,3 sRGB colors that paint an object, given its pixels' L times 2.55, as `term`.

        The mean color that results is, by `color_matches`, the term's, unless ten draws fail.
        """
        share = np.bincount(lightness.ravel(), minlength=256) / lightness.size
        paint = PAINTS[term]
        curve = _tone_curve(share, _wanted_lightness(paint, share, rng))
        for attempt in range(10):
            chroma = rng.uniform(*paint.chroma) * (1 + 0.1 * attempt)
            hue = rng.uniform(*paint.hue)
            lab = self._shade(curve, float(share @ curve), chroma, hue)
            if self._is(term, share @ lab):
                break
        return to_rgb(lab)

    def ramp(
        self, start: NDArray[np.float64], end: NDArray[np.float64]
    ) -> NDArray[np.uint8]:
        """256,3 sRGB colors from one Lab color to another."""
        weight = np.linspace(0, 1, 256)[:, None]
        return to_rgb(self.limit(start * (1 - weight) + end * weight))

    def limit(self, lab: NDArray[np.float64]) -> NDArray[np.float64]:
        """N,3 Lab colors moved into the gamut along chroma (to within about one unit)."""
        hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])).round().astype(int) % 360
        limit = self._limits[lab[:, 0].round().astype(int).clip(0, 100), hue]
        chroma = np.hypot(lab[:, 1], lab[:, 2])
        scale = np.minimum(1.0, limit / np.maximum(chroma, 1e-6))
        return np.stack([lab[:, 0], lab[:, 1] * scale, lab[:, 2] * scale], axis=1)

    def _shade(
        self, curve: NDArray[np.float64], mean: float, chroma: float, hue: float
    ) -> NDArray[np.float64]:
        """Lab of every level of a matte surface with white highlights.

        Light scales X, Y and Z alike, so a surface's chroma follows L + 16; highlights have the
        light's own color.
        """
        amount = chroma * (curve + 16) / (mean + 16)
        bright = min(94.0, mean + 28)
        amount *= ((100 - curve) / (100 - bright)).clip(0, 1) ** 0.7
        angle = np.radians(hue)
        return self.limit(np.stack([curve, amount * np.cos(angle), amount * np.sin(angle)], 1))

    def _is(self, term: str, mean: NDArray[np.float64]) -> bool:
        colors = self._terms[int(mean[0].round())]
        nearest = colors[np.linalg.norm(colors - mean[1:], axis=1).argmin()]
        return bool(np.linalg.norm(colors[TERMS.index(term)] - nearest) <= ALIKE)


def to_rgb(lab: NDArray[np.float64]) -> NDArray[np.uint8]:
    """sRGB, N,3 uint8, of N,3 Lab colors."""
    image = torch.from_numpy(lab.T.astype(np.float32))[None, :, :, None]
    return (lab_to_rgb(image)[0, :, :, 0].T * 255).round().to(torch.uint8).numpy()


def _wanted_lightness(
    paint: Paint, share: NDArray[np.float64], rng: np.random.Generator
) -> float:
    """The mean L to paint an object at: its own, or what the color needs at the least."""
    own = float(share @ LEVELS)
    if paint.adapts and rng.random() < 0.3:
        return min(max(own, 16.0), 92.0)
    low, high = paint.lightness
    reach = 0.6 * (high - low)
    return min(max(own, low + rng.uniform(0, reach)), high - rng.uniform(0, min(reach, high - low)))


def _tone_curve(share: NDArray[np.float64], wanted: float) -> NDArray[np.float64]:
    """L of every level so that the mean is `wanted`: a gamma, then a mix with black or white."""
    own = float(share @ LEVELS)
    gamma = np.log(wanted / 100) / np.log(min(max(own, 1.0), 99.0) / 100)
    curve = 100 * (LEVELS / 100) ** min(max(gamma, 0.45), 2.2)
    mean = float(share @ curve)
    end = 98.0 if wanted > mean else 2.0
    weight = min(max((wanted - mean) / (end - mean), 0.0), 1.0) if abs(end - mean) > 1 else 0.0
    return curve * (1 - weight) + end * weight


def _gamut_limits() -> NDArray[np.float64]:
    """101,360: the largest chroma inside sRGB at every whole L and degree of hue."""
    light, hue = torch.meshgrid(torch.arange(101.0), torch.arange(360.0), indexing="ij")
    angle = hue.deg2rad()
    lab = torch.stack([light, 140 * angle.cos(), 140 * angle.sin()])[None]
    inside = into_gamut(lab)[0]
    return torch.hypot(inside[1], inside[2]).double().numpy()
