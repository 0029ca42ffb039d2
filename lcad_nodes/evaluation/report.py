"""Tables as Markdown and CSV, sheets of pictures, and the folder that they go into."""

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from tempfile import TemporaryFile
from textwrap import wrap

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


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        header: names of the columns.
        rows: cells, as many a row as there are columns.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """The table for a Markdown file; columns line up in plain text too."""
        cells = [[escaped(c) for c in row] for row in (self.header, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
            for row in cells
        ]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return "\n".join(lines)


@dataclass(frozen=True)
class Figure:
    """One cell of a table of figures.

    Attributes:
        subject: what was measured: a model, a variation, a method.
        name: of the figure.
        estimate: its value; without an interval where both ends are NaN.
    """

    subject: str
    name: str
    estimate: Estimate


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


def write_report(text: str, out: Path, files: Mapping[str, Callable[[Path], None]]) -> str:
    """Write all files of a report that can be written.

    Args:
        text: what is found.
        out: folder.
        files: what writes them, by their names in it.

    Returns:
        The text.

    Raises:
        ReportError: some cannot; the message begins with the text, so that it is not lost.
    """
    faults = []
    for name, write in files.items():
        try:
            out.mkdir(parents=True, exist_ok=True)
            write(out / name)
        except OSError as error:
            faults.append(f"{out / name} cannot be written: {error}")
    if faults:
        raise ReportError("\n".join([text, *faults]))
    return text


def escaped(text: str) -> str:
    """Text, such as a file's name, that Markdown shows as it is and HTML does not run."""
    return re.sub(r"([\\`|<\[])", r"\\\1", " ".join(text.splitlines()))


def write_text(text: str, file: Path) -> None:
    """Write UTF-8; what has no bytes in it, as in names out of old archives, is spelled out."""
    file.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_rows(rows: Iterable[Sequence[object]], file: Path) -> None:
    """Write a CSV file in which spreadsheets find no formulas."""
    with file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as opened:
        csv.writer(opened).writerows(
            [f"'{c}" if isinstance(c, str) and c[:1] in FORMULA else c for c in row] for row in rows
        )


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


def write_csv(figures: Sequence[Figure], file: Path) -> None:
    """Write one figure a line, numbers at full precision, for other programs."""
    rows: list[Sequence[object]] = [["subject", "figure", "value", "low", "high", "count"]]
    for figure in figures:
        found = figure.estimate
        numbers = ("" if isnan(x) else x for x in (found.value, found.low, found.high))
        rows.append([figure.subject, figure.name, *numbers, found.count])
    write_rows(rows, file)


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture of a sheet.

    Attributes:
        image: 3,H,W in [0, 1].
        text: what stands beneath it.
    """

    image: Tensor
    text: str


def sheet(rows: Sequence[Sequence[Tile]]) -> Image.Image:
    """Pictures in rows, each fitted into a square, its text beneath.

    Args:
        rows: from top to bottom; they may be of different lengths.
    """
    pictures = [[_fitted(tile.image) for tile in row] for row in rows]
    heights = [max(picture.height for picture in row) for row in pictures]
    below, width = GAP + LINE * LINES, SIDE + GAP
    canvas = Image.new(
        "RGB", (max(map(len, rows)) * width, sum(heights) + len(rows) * below), "white"
    )
    draw = ImageDraw.Draw(canvas)
    top = 0
    for row, fitted, height in zip(rows, pictures, heights, strict=True):
        for x, (tile, picture) in enumerate(zip(row, fitted, strict=True)):
            canvas.paste(picture, (x * width, top))
            text = "\n".join(wrap(tile.text, SIDE // LETTER)[:LINES])
            draw.text((x * width, top + height), text, fill="black")
        top += height + below
    return canvas


def _fitted(image: Tensor) -> Image.Image:
    picture = to_pil_image(image.cpu().clamp(0, 1))
    picture.thumbnail((SIDE, SIDE))
    return picture
