"""The example photos, each with three descriptions, on one sheet."""

import logging
import os
import sys
import webbrowser
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from . import photos
from .colorize import colorizer
from .server import ROOT
from .workflow import Settings

EXAMPLES = {
    "cup.jpg": ("a red cup", "a blue cup", "a green cup"),
    "volleyball.jpg": ("a yellow ball", "a blue ball", "a red ball"),
    "hammer.jpg": ("an orange hammer", "a blue hammer", ""),
}
TILE = (300, 240)
GAP = 18
CAPTION = 34
HEAD = 64
PAPER = "#fafaf8"

logger = logging.getLogger(__name__)


def demo(comfyui: Path, out: Path, *, cpu: bool) -> Path:
    """Colorize the examples.

    Args:
        comfyui: ComfyUI's folder, which is only read.
        out: the folder to write into.
        cpu: without a GPU even where there is one.

    Returns:
        The sheet of all results.
    """
    settings = Settings()
    rows: list[list[tuple[str, Image.Image]]] = []
    total = sum(map(len, EXAMPLES.values()))
    with colorizer(comfyui, settings, None, cpu=cpu) as colorize:
        for name, texts in EXAMPLES.items():
            photo = photos.read(ROOT / "photos" / name)
            rows.append([("the photo", photo.picture)])
            for text in texts:
                number = sum(len(row) - 1 for row in rows) + 1
                label = f"[{number}/{total}] {name}: {said(text)}"
                picture = colorize(photo, text, label=label)
                file = out / f"{Path(name).stem}-{len(rows[-1])}.png"
                photos.write(picture, photo, file, f"lcad-nodes demo: {text}")
                rows[-1].append((said(text), picture))
                logger.info(label)
    path = out / "sheet.png"
    sheet(rows).save(path)
    return path


def said(text: str) -> str:
    """A description as a caption."""
    return f"“{text}”" if text else "no words"


def sheet(rows: list[list[tuple[str, Image.Image]]]) -> Image.Image:
    """Lay pictures out with their captions, one row for each photo."""
    columns = max(map(len, rows))
    width = columns * (TILE[0] + GAP) + GAP
    height = HEAD + len(rows) * (TILE[1] + CAPTION + GAP)
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((GAP, HEAD / 2), "L-CAD: colors from words", "#222222", _font(26), anchor="lm")
    for i, row in enumerate(rows):
        for j, (caption, picture) in enumerate(row):
            x = GAP + j * (TILE[0] + GAP)
            y = HEAD + i * (TILE[1] + CAPTION + GAP)
            page.paste(ImageOps.pad(picture, TILE, Image.Resampling.LANCZOS, PAPER), (x, y))
            place = (x + TILE[0] / 2, y + TILE[1] + CAPTION / 2)
            draw.text(place, caption, "#444444", _font(18), anchor="mm")
    return page


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def show(address: str) -> bool:
    """Open a page or a file where there is a desktop. Returns whether it was opened."""
    if sys.platform == "linux":
        has_desktop = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    else:
        has_desktop = "SSH_CONNECTION" not in os.environ
    return has_desktop and webbrowser.open(address)
