"""Pictures that nodes show of their own results."""

import colorsys
from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from ..color.heatmap import heat
from ..host.instances import Instances
from ..model.phrases import PhraseError, locate
from .text import INK, PAPER, Color, Fonts, Piece, set_text

SIDE = 512
"""Longer side of the masks' picture, in px."""
NARROWEST = 256
"""Least width of a text, in px."""
LETTER = 16
"""Size of letters, in px, in pictures of up to `SIDE` px; in larger ones as much larger."""
GOLDEN_TURN = 0.618
"""Part of the circle of hues between one mask and the next: neighbors differ most."""


def draw_instances(instances: Instances, text: str) -> Tensor:
    """Paint every mask in a color of its own, and below it the text with the phrases in theirs.

    Args:
        instances: phrases and masks.
        text: the whole description, without prompt weights.

    Returns:
        An IMAGE, 1xHxWx3 in [0, 1].
    """
    palette = _palette(len(instances.items))
    masks = _paint_masks([item.mask for item in instances.items], palette)
    phrases = [item.phrase for item in instances.items]
    pieces = _in_colors(text, phrases, palette)
    described = set_text(pieces, max(masks.width, NARROWEST), LETTER)
    return _stack([masks, described])


def draw_attention(photos: Tensor, maps: Tensor, phrases: Sequence[str]) -> Tensor:
    """Lay every phrase's map over the photo, with the phrase below.

    Args:
        photos: gray sRGB, Bx3xHxW in [0, 1].
        maps: B x phrases x H x W; each is stretched from its least value to its greatest.
        phrases: the phrases.

    Returns:
        An IMAGE, (B * phrases) x (H + caption) x W x 3 in [0, 1], photo by photo.
    """
    from kornia.enhance import normalize_min_max

    size = LETTER * max(maps.shape[2:]) // SIDE
    captions = [
        set_text([Piece(phrase, INK)], maps.shape[3], max(LETTER, size)) for phrase in phrases
    ]
    height = max(caption.height for caption in captions)
    shown = []
    for photo, of_photo in zip(photos, normalize_min_max(maps, eps=1e-12), strict=True):
        for strength, words in zip(of_photo, captions, strict=True):
            glow = heat(strength[None, None])[0]
            lit = to_pil_image(torch.lerp(photo, glow, 0.25 + 0.5 * strength).cpu())
            shown.append(_stack([lit, words], lit.height + height))
    return torch.cat(shown)


def _palette(count: int) -> list[Color]:
    hues = [(number * GOLDEN_TURN) % 1 for number in range(count)]
    bright = [colorsys.hls_to_rgb(hue, 0.66, 0.85) for hue in hues]
    return [(round(255 * r), round(255 * g), round(255 * b)) for r, g, b in bright]


def _paint_masks(masks: Sequence[Tensor], palette: list[Color]) -> Image.Image:
    """Paint masks one over the other, each with its number in its middle."""
    height, width = masks[0].shape
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    canvas = Image.new("RGB", size, PAPER)
    areas = [to_pil_image(mask).resize(size) for mask in masks]
    for area, color in zip(areas, palette, strict=True):
        canvas.paste(color, mask=area)
    draw = ImageDraw.Draw(canvas)
    font = Fonts(LETTER).of("0")
    for number, area in enumerate(areas, start=1):
        draw.text(_inside(area), str(number), INK, font, "mm", stroke_width=3, stroke_fill=PAPER)
    return canvas


def _inside(area: Image.Image) -> tuple[int, int]:
    """Find the place in a mask that is nearest to its middle: x and y."""
    mask = pil_to_tensor(area)[0]
    places = (mask >= mask.amax()).nonzero().float()
    nearest = (places - places.mean(dim=0)).square().sum(dim=1).argmin()
    y, x = places[nearest].int().tolist()
    return x, y


def _in_colors(text: str, phrases: list[str], palette: list[Color]) -> list[Piece]:
    """Cut a text at its phrases, each with its number and in its color."""
    numbered = [f"{number}. {phrase}" for number, phrase in enumerate(phrases, start=1)]
    try:
        spans = sorted(zip(locate(text, phrases), numbered, palette, strict=True))
    except PhraseError:  # found in the prompt, but spelled differently there
        below = [Piece("\n" + line, color) for line, color in zip(numbered, palette, strict=True)]
        return [Piece(text, INK), *below]
    pieces, end = [], 0
    for (start, stop), line, color in spans:
        pieces += [Piece(text[end:start], INK), Piece(line, color)]
        end = stop
    return [*pieces, Piece(text[end:], INK)]


def _stack(pictures: list[Image.Image], height: int | None = None) -> Tensor:
    """Put pictures below each other: an IMAGE of one."""
    total = height or sum(picture.height for picture in pictures)
    width = max(picture.width for picture in pictures)
    sheet = Image.new("RGB", (width, total), PAPER)
    top = 0
    for picture in pictures:
        sheet.paste(picture, ((width - picture.width) // 2, top))
        top += picture.height
    return pil_to_tensor(sheet).movedim(0, -1)[None] / 255
