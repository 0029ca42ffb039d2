"""Words set into pictures, in whatever script."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
PAPER: Color = (30, 30, 30)
INK: Color = (215, 215, 215)
SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSansCJK-Regular.ttc",
    "wqy-microhei.ttc",
    "segoeui.ttf",
    "msyh.ttc",
    "meiryo.ttc",
    "malgun.ttf",
    "Arial Unicode.ttf",
    "Hiragino Sans GB.ttc",
    "AppleSDGothicNeo.ttc",
)
"""Fonts of Linux, Windows and macOS for what the font that comes with Pillow does not have."""
NO_CHARACTER = "\U0010fffd"
"""Drawn as what a font has in place of missing characters: nothing is assigned to it."""


class Piece(NamedTuple):
    """A part of a text in one color."""

    text: str
    color: Color


class Placed(NamedTuple):
    """A word where it is drawn: x in px, and the line's number."""

    x: float
    line: int
    word: Piece
    font: ImageFont.FreeTypeFont


class Fonts:
    """Picks for every word the first font that has all its characters; `size` is in px."""

    def __init__(self, size: int) -> None:
        self._opened: list[ImageFont.FreeTypeFont] = []
        self._unopened = _open(size)

    def of(self, word: str) -> ImageFont.FreeTypeFont:
        """Pick a font; the first of all where none has the whole word."""
        for font in self._opened:
            if _has(font, word):
                return font
        for font in self._unopened:
            self._opened.append(font)
            if _has(font, word):
                return font
        return self._opened[0]


def _open(size: int) -> Iterator[ImageFont.FreeTypeFont]:
    font = ImageFont.load_default(size)
    if isinstance(font, ImageFont.FreeTypeFont):
        yield font
    for name in SYSTEM_FONTS:
        with suppress(OSError):  # not on this machine
            yield ImageFont.truetype(name, size)


def set_text(pieces: Sequence[Piece], width: int, size: int) -> Image.Image:
    """Set a text of several colors into lines.

    Args:
        pieces: the text in order; a line break begins a new line.
        width: of the picture, in px; words that are wider are broken.
        size: of the letters, in px.

    Returns:
        An RGB picture as high as the text.
    """
    margin = size // 2
    placed = list(_place(pieces, width - 2 * margin, Fonts(size)))
    lines = placed[-1].line + 1 if placed else 0
    height = round(1.5 * size)
    picture = Image.new("RGB", (width, lines * height + 2 * margin), PAPER)
    draw = ImageDraw.Draw(picture)
    for x, line, word, font in placed:
        baseline = margin + line * height + size
        draw.text((margin + x, baseline), word.text, word.color, font, anchor="ls")
    return picture


def _place(pieces: Sequence[Piece], width: int, fonts: Fonts) -> Iterator[Placed]:
    x, line = 0.0, 0
    for piece in pieces:
        for text in re.findall(r"\n|[^\S\n]+|\S+", piece.text):
            if text == "\n":
                x, line = 0.0, line + 1
                continue
            font = fonts.of(text)
            if x and not text.isspace() and x + font.getlength(text) > width:
                x, line = 0.0, line + 1
            for part in _broken(text, font, width):
                length = font.getlength(part)
                if x and not text.isspace() and x + length > width:
                    x, line = 0.0, line + 1
                yield Placed(x, line, Piece(part, piece.color), font)
                x += length


def _broken(word: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break a word that is wider than a line."""
    if font.getlength(word) <= width or word.isspace():
        return [word]
    parts = [""]
    for character in word:
        if parts[-1] and font.getlength(parts[-1] + character) > width:
            parts.append("")
        parts[-1] += character
    return parts


def _has(font: ImageFont.FreeTypeFont, word: str) -> bool:
    missing = _drawn(font, NO_CHARACTER)
    return all(_drawn(font, character) != missing for character in set(word))


def _drawn(font: ImageFont.FreeTypeFont, character: str) -> bytes:
    mask: Any = font.getmask(character)
    return bytes(mask)
