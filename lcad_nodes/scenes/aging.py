"""Old photographs: fading, uneven light, soft lenses, grain and JPEG, with true colors."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Field = NDArray[np.float32]
"""H,W: CIE L over 100; or, where said so, 3,H,W."""

STEPS = 4096
"""Entries of a table over [0, 1], looked up by the square root, so that shadows stay fine."""

# Linear sRGB to CIE XYZ over the white point D65 (IEC 61966-2-1).
_TO_XYZ = (
    np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
              [0.0193339, 0.1191920, 0.9503041]])
    / np.array([[0.9504559], [1.0000001], [1.0890578]])
).astype(np.float32)  # fmt: skip
_FROM_XYZ = np.linalg.inv(_TO_XYZ)
_KNEE = np.float32(6 / 29)  # where the cube root of CIE Lab gives way to a line


class Ager:
    """Makes pictures look like old photographs; holds the tables that make it fast.

    A whole conversion to Lab and back takes longer than building a scene. Changing L alone needs
    less: a* and b* are differences of cube roots, so they stay when all three are shifted alike.
    """

    def __init__(self) -> None:
        code = np.arange(256) / 255
        linear = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
        self._linear = linear.astype(np.float32)
        t = np.linspace(0, 1, STEPS + 1) ** 2
        root = np.where(t > _KNEE**3, np.cbrt(t), t / (3 * _KNEE**2) + 4 / 29)
        self._root = root.astype(np.float32)
        encoded = np.where(t <= 0.0031308, 12.92 * t, 1.055 * t ** (1 / 2.4) - 0.055)
        self._encoded = encoded.astype(np.float32)

    def age(self, picture: Image.Image, rng: np.random.Generator) -> Field:
        """A picture as an old photograph would show it, mildly or strongly.

        Light, contrast, grain and JPEG change its CIE L; a* and b* stay, as far as sRGB reaches
        at the new L. Blur softens both.

        Args:
            picture: RGB.
            rng: draws how strong each effect is; each is left out at times.

        Returns:
            3,H,W sRGB in [0, 1].
        """
        severity = rng.uniform(0.15, 1.0)
        if rng.random() < 0.6:
            radius = severity * rng.uniform(0, 0.01) * picture.width
            picture = picture.filter(ImageFilter.BoxBlur(radius))
        roots = self.roots(picture)
        light = roots[1] * np.float32(1.16) - np.float32(0.16)
        if rng.random() < 0.8:
            light = _tones(light, severity, rng)
        if rng.random() < 0.5:
            light = _uneven(light, severity, rng)
        if rng.random() < 0.6:
            light = light + _grain(light.shape, severity, rng)
        if rng.random() < 0.6:
            light = _jpeg(light, quality=int(95 - severity * rng.uniform(5, 70)))
        return self.with_lightness(roots, light)

    def with_lightness(self, roots: Field, light: Field) -> Field:
        """sRGB, 3,H,W in [0, 1], of colors moved to another L with a* and b* kept.

        Colors that leave the gamut are mixed with the gray of their luminance, so L stays.

        Args:
            roots: 3,H,W, as `roots` gives them.
            light: H,W, the L to have, over 100; values outside [0, 1] are clipped.
        """
        root = (light.clip(0, 1) + np.float32(0.16)) / np.float32(1.16)
        f = roots + (root - roots[1])
        xyz = f * f * f
        line = f < _KNEE
        xyz[line] = 3 * _KNEE**2 * (f[line] - np.float32(4 / 29))
        gray = xyz[1].clip(0, 1)
        off = _times(_FROM_XYZ, xyz) - gray
        low, high = -np.minimum.reduce(off), np.maximum.reduce(off)
        tiny = np.float32(1e-6)
        keep = np.minimum(gray / np.maximum(low, tiny), (1 - gray) / np.maximum(high, tiny))
        return self._encoded[_entry((gray + off * np.minimum(keep, 1)).clip(0, 1))]

    def roots(self, picture: Image.Image) -> Field:
        """3,H,W cube roots of X, Y and Z over the white point's, as in CIE Lab."""
        linear = self._linear[np.moveaxis(np.asarray(picture), -1, 0)]
        return self._root[_entry(_times(_TO_XYZ, linear).clip(0, 1))]


def _times(matrix: NDArray[np.float32], image: Field) -> Field:
    """A 3x3 matrix times every pixel of 3,H,W."""
    return (matrix @ image.reshape(3, -1)).reshape(image.shape)


def _entry(values: Field) -> NDArray[np.int32]:
    return (np.sqrt(values) * STEPS + np.float32(0.5)).astype(np.int32)


def _tones(light: Field, severity: float, rng: np.random.Generator) -> Field:
    """Under- or overexposed, harder or softer, blacks and whites faded."""
    levels = np.linspace(0, 1, STEPS + 1)
    exposed = levels ** np.exp(rng.normal(0, 0.35) * severity)
    hard = rng.uniform(-0.3, 0.7) * severity
    exposed += hard * (exposed * exposed * (3 - 2 * exposed) - exposed)
    black, white = rng.uniform(0, 0.22) * severity, 1 - rng.uniform(0, 0.22) * severity
    curve = (black + exposed * (white - black)).astype(np.float32)
    return curve[(light.clip(0, 1) * STEPS).astype(np.int32)]


def _uneven(light: Field, severity: float, rng: np.random.Generator) -> Field:
    """Dark corners, and more light on one side."""
    height, width = light.shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    corners = np.float32(rng.uniform(0, 0.25) * severity)
    across, down = (rng.normal(0, 0.1, 2) * severity).astype(np.float32)
    return light * (1 - corners * (x * x + y * y) + across * x + down * y)


def _grain(shape: tuple[int, ...], severity: float, rng: np.random.Generator) -> Field:
    """Noise in units of L over 100, fine or coarse."""
    coarse = rng.choice([1.0, 1.5, 2.2])
    rows, columns = (round(side / coarse) for side in shape)
    strength = np.float32(rng.uniform(0.01, 0.06) * severity)
    noise = rng.standard_normal((rows, columns), np.float32) * strength
    if coarse == 1:
        return noise
    height, width = shape
    image = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.float32)


def _jpeg(light: Field, quality: int) -> Field:
    """The lightness after a round through a gray JPEG."""
    memory = io.BytesIO()
    codes = (light * 255).clip(0, 255).round().astype(np.uint8)
    Image.fromarray(codes).save(memory, "JPEG", quality=quality)
    with Image.open(memory) as decoded:
        return np.divide(decoded, 255, dtype=np.float32)
