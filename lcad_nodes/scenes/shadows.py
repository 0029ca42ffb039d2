"""Shadows that cut-outs throw, from 0, none, to 255, black."""

import numpy as np
from PIL import Image, ImageFilter

_BILINEAR = Image.Resampling.BILINEAR


def soft_shadow(outline: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Draw a soft shadow around a thing, a little to one side and below.

    Args:
        outline: 255 where the thing is, 0 elsewhere.
        rng: draws side, softness and strength.
    """
    width = outline.width
    small = outline.resize((width // 4, outline.height // 4), Image.Resampling.BOX)
    strength = rng.uniform(0.25, 0.6)
    soft = small.filter(ImageFilter.BoxBlur(rng.uniform(1, 3))).point(lambda a: int(a * strength))
    shift = (int(rng.uniform(-0.03, 0.03) * width), int(rng.uniform(0, 0.04) * width))
    shadow = Image.new("L", outline.size)
    shadow.paste(soft.resize(outline.size, _BILINEAR), shift)
    return shadow


def floor_shadow(outline: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Draw the shadow of a thing that stands on a floor: laid down from its foot, to one side.

    Args:
        outline: 255 where the thing is, 0 elsewhere.
        rng: draws side, length, softness and strength; towards the viewer as often as away.
    """
    _, _, _, foot = outline.getbbox() or (0, 0, 0, 0)
    length, slant = rng.uniform(0.1, 0.5) * rng.choice([-1, 1]), rng.uniform(-2, 2)
    source = (1, -slant, slant * foot, 0, 1 / length, foot - foot / length)
    laid = outline.transform(outline.size, Image.Transform.AFFINE, source, _BILINEAR)
    strength = rng.uniform(0.2, 0.6)
    blur = ImageFilter.BoxBlur(rng.uniform(0.005, 0.05) * outline.width)
    return laid.filter(blur).point(lambda a: int(a * strength))


def darken(image: Image.Image, shadow: Image.Image) -> Image.Image:
    """Lay a shadow on a picture of its size."""
    image = image.copy()
    image.paste((0, 0, 0), (0, 0), shadow)
    return image
