"""Tables as Markdown and CSV, sheets of pictures, and the folder that they go into."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from pathlib import Path
from tempfile import TemporaryFile
from textwrap import wrap
from typing import NamedTuple

from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from .bootstrap import Estimate

SIDE = 160  # px of the square that a picture of a sheet is fitted into
GAP = 6  # px between the tiles of a sheet
LINE = 12  # px of one line of text
LINES = 3  # lines of text beneath a tile
LETTER = 6  # px of one letter
FORMULA = ("=", "+", "-", "@")  # what a spreadsheet computes begins with

Figures = Mapping[str, Mapping[str, Estimate]]
"""By what was measured (a model, a variation, a method) and the figure's name."""


class ReportError(OSError):
    """A report's folder or files cannot be written; the message says which."""


def make_folder(out: Path) -> None:
    """Make the folder of a report, before anything is measured for it.

    Raises:
        ReportError: it cannot be made, or nothing can be written into it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=out).close()
    except OSError as error:
        raise ReportError(f"Nothing can be written into the folder {out}: {error}") from error


def write_report(text: str, out: Path, files: Mapping[str, str | Image.Image]) -> str:
    """Write all files of a report that can be written.

    Args:
        text: what is found.
        out: folder.
        files: what goes into each, by their names in it; what has no bytes in UTF-8, as in names
            out of old archives, is spelled out.

    Returns:
        The text.

    Raises:
        ReportError: some cannot; the message begins with the text, so that it is not lost.
    """
    faults = []
    for name, content in files.items():
        file = out / name
        try:
            out.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Image.Image):
                content.save(file)
            else:
                file.write_text(content, "utf-8", errors="backslashreplace", newline="")
        except OSError as error:
            faults.append(f"{file} cannot be written: {error}")
    if faults:
        raise ReportError("\n".join([text, *faults]))
    return text


def escaped(text: str) -> str:
    """Text, such as a file's name, that Markdown shows as it is and HTML does not run."""
    return re.sub(r"([\\`|<\[])", r"\\\1", " ".join(text.splitlines()))


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table for a Markdown file; columns line up in plain text too."""
    cells = [[escaped(c) for c in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def table(corner: str, figures: Figures, forms: Mapping[str, str]) -> str:
    """Figures as Markdown, what was measured below each other.

    Args:
        corner: what the first column has.
        figures: they.
        forms: for every column, as `cell` takes it.
    """
    rows = (
        (who, *(cell(found.get(column), form) for column, form in forms.items()))
        for who, found in figures.items()
    )
    return markdown((corner, *forms), rows)


def cell(found: Estimate | None, form: str) -> str:
    """A figure and its interval as text; empty where there is none.

    Args:
        found: the figure.
        form: a format for each of its numbers, such as `{:.1%}`.
    """
    if found is None:
        return ""
    value, low, high = (form.format(x) for x in (found.value, found.low, found.high))
    return value if isnan(found.low) else f"{value} ({low} to {high})"


def as_csv(rows: Iterable[Sequence[object]]) -> str:
    """Rows for other programs, in which spreadsheets find no formulas."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(
        [f"'{c}" if isinstance(c, str) and c[:1] in FORMULA else c for c in row] for row in rows
    )
    return text.getvalue()


def figures_csv(figures: Figures) -> str:
    """One figure a line, numbers at full precision; without an interval, its ends are empty."""
    rows: list[Sequence[object]] = [["subject", "figure", "value", "low", "high", "count"]]
    for subject, measured in figures.items():
        for name, found in measured.items():
            numbers = ("" if isnan(x) else x for x in (found.value, found.low, found.high))
            rows.append([subject, name, *numbers, found.count])
    return as_csv(rows)


class Tile(NamedTuple):
    """One picture of a sheet, and what stands beneath it."""

    picture: Image.Image
    text: str


def tile(image: Tensor, text: str) -> Tile:
    """Fit a picture, 3,H,W in [0, 1], into a sheet's square."""
    picture = to_pil_image(image.cpu().clamp(0, 1))
    picture.thumbnail((SIDE, SIDE))
    return Tile(picture, text)


def sheet(rows: Sequence[Sequence[Tile]]) -> Image.Image:
    """Pictures in rows, their texts beneath.

    Args:
        rows: from top to bottom; they may be of different lengths.
    """
    heights = [max(tile.picture.height for tile in row) for row in rows]
    below, width = GAP + LINE * LINES, SIDE + GAP
    canvas = Image.new(
        "RGB", (max(map(len, rows)) * width, sum(heights) + len(rows) * below), "white"
    )
    draw = ImageDraw.Draw(canvas)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for x, (picture, text) in enumerate(row):
            canvas.paste(picture, (x * width, top))
            lines = "\n".join(wrap(text, SIDE // LETTER)[:LINES])
            draw.text((x * width, top + height), lines, fill="black")
        top += height + below
    return canvas
