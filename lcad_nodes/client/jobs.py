"""Which photos are to be colorized, with which words, and where the results go."""

import csv
import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from os.path import realpath
from pathlib import Path
from typing import Any
from unicodedata import normalize

from ..files import digests
from ..files.formats import READABLE, WRITABLE
from .photos import is_touched, made_from
from .workflow import Settings

MARK = ".color"

logger = logging.getLogger(__name__)


class ResultError(ValueError):
    """A file that is in a result's place must stay; the message names it and says why."""


class TableError(ValueError):
    """A table of descriptions cannot be used; the message names the line and what is wrong."""


@dataclass(frozen=True)
class Job:
    """One photo, its description, and the file to write.

    Attributes:
        masked: phrases of the description, each with the digest of its mask.
    """

    photo: Path
    text: str
    out: Path
    masked: tuple[tuple[str, str], ...] = ()

    def made_from(self, photo: str, settings: Settings) -> str:
        """What the result is made from, as one line that is kept in it.

        Args:
            photo: the digest of what was read as the photo.
            settings: how it is colorized.
        """
        said = {"photo": photo, "words": self.text, **asdict(settings)}
        del said["tile_size"]  # with it or without, the picture is the same
        if self.masked:
            said["masked"] = self.masked
        return json.dumps(said, sort_keys=True)

    def found(self) -> str:
        """What the result that is there was made from; empty if none is.

        Raises:
            ResultError: something else is there that must stay.
        """
        # Of Path, `exists` raises for a long name; an empty file is what a power cut leaves.
        if not os.path.exists(self.out):  # noqa: PTH110
            return ""
        if self.out.is_file() and not self.out.stat().st_size:
            return ""
        found = made_from(self.out)
        if found is None or not _said(found):
            raise ResultError(f"{self.out} is there and was not made by this")
        return found

    def is_finished(self, settings: Settings) -> bool:
        """Whether the result is there, made with these words and settings.

        The photo is read in full only where all else is the same.

        Raises:
            ResultError: another one is there that must stay, or one with masks and this has none.
        """
        found = self.found()
        if not found:
            return False
        said, photo = _said(found), ""
        if "masked" in said and not self.masked:
            raise ResultError(f"{self.out} was made with masks (to have it without, move it)")
        if found == self.made_from(said["photo"], settings):
            photo = digest_of(self.photo)
            if photo == said["photo"]:
                return True
        self.require_replaceable(photo)
        return False

    def require_replaceable(self, photo: str) -> None:
        """See that nothing is in the result's place, or a result that it may replace.

        Args:
            photo: the photo's digest; empty if it is not known.

        Raises:
            ResultError: what is there must stay.
        """
        found = self.found()
        if not found:
            return
        if photo and photo != _said(found)["photo"]:
            raise ResultError(f"{self.out} is there and was made from another photo")
        if is_touched(self.out):
            raise ResultError(
                f"{self.out} was changed, or copied, after it was made (to have it anew, move it)"
            )


def digest_of(file: Path) -> str:
    """Of what is in a file, to tell it from others; empty if it cannot be read."""
    with suppress(OSError):
        return digests.digest_of(file)
    return ""


def _said(made_from: str) -> dict[str, Any]:
    """What `Job.made_from` was told, the photo's digest at least; empty for what it never says."""
    try:
        said = json.loads(made_from)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) and isinstance(said.get("photo"), str) else {}


def default_out(photo: Path) -> Path:
    """`portrait.tif` is colorized as `portrait.color.tif`; what cannot be written becomes PNG."""
    suffix = photo.suffix if photo.suffix.lower() in WRITABLE else ".png"
    return photo.with_name(f"{photo.stem}{MARK}{suffix}")


def in_folder(folder: Path, text: str, out: Path | None) -> list[Job]:
    """Every photo of a folder, in the order of their names, with the same words."""
    shown = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    inner = [path for path in shown if path.is_dir()]
    beside = {path.name for path in inner if out is None or realpath(path) != realpath(out)}
    photos = [path for path in shown if path not in inner and path.suffix.lower() in READABLE]
    others = {path.suffix.lower() or path.name for path in {*shown} - {*inner} - {*photos}}
    named_so = [path for path in photos if path.stem.endswith(MARK)]
    photos = [path for path in photos if path not in named_so]
    strange = {path.name for path in named_so if made_from(path) is None}
    if beside:
        logger.info(
            "%s: the photos in its folders are left out: %s. Colorize each folder by itself, or "
            "name its photos in a table",
            folder,
            _listed(beside),
        )
    if others:
        logger.info("%s: its files of other kinds are left out: %s", folder, _listed(others))
    if strange:
        logger.info("%s: what is named like a result is left out: %s", folder, _listed(strange))
    if not photos:
        raise TableError(f"There is no photo in {folder}.")
    return _checked([Job(path, text, (out or folder) / default_out(path).name) for path in photos])


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)[:8]) + ", ..." * (len(names) > 8)


def in_table(table: Path, folder: Path, out: Path | None) -> list[Job]:
    """The photos of a table with the columns file, text and, if wanted, out.

    Raises:
        TableError: if it is no CSV, a column or a file's name is missing, or results overwrite
            something.
    """
    try:
        text = table.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(f"{table.name} is not UTF-8: save it as 'CSV UTF-8'.") from error
    before, nul, _ = text.partition("\0")
    if nul:
        raise TableError(
            f"{table.name}, line {before.count(chr(10)) + 1}: it holds a NUL character, which no "
            "name has: take it out, or save the table as 'CSV UTF-8'."
        )
    jobs = list(_rows(table.name, text, folder, out or folder))
    if not jobs:
        raise TableError(f"{table.name} names no photo.")
    return _checked(jobs)


def _rows(name: str, text: str, folder: Path, out: Path) -> Iterator[Job]:
    named = cache(_named)
    for line, row in _records(name, text):
        file, words, target = ((row.get(key) or "").strip() for key in ("file", "text", "out"))
        if row.get(None):
            raise TableError(
                f"{name}, line {line}: more columns than the first line has. Put quotes around a "
                "text with commas."
            )
        if not file and not words:
            continue
        if not Path(file).name:
            raise TableError(f"{name}, line {line}: there is no file.")
        yield Job(_found(folder / file, named), words, out / (target or _beside(file)))


def _found(photo: Path, named: Callable[[Path], dict[str, list[Path]]]) -> Path:
    """A photo, where there is none the one whose name is the same in another form of Unicode.

    Of `ü`, a Mac's disks may know two characters where a table has one.
    """
    if os.path.exists(photo):  # noqa: PTH110 - of Path, it raises for a long name
        return photo
    same = named(photo.parent).get(normalize("NFC", photo.name), [])
    return same[0] if len(same) == 1 else photo


def _named(folder: Path) -> dict[str, list[Path]]:
    """What is in a folder, by its name in one form of Unicode; nothing if it cannot be read."""
    entries: dict[str, list[Path]] = {}
    with suppress(OSError):
        for entry in folder.iterdir():
            entries.setdefault(normalize("NFC", entry.name), []).append(entry)
    return entries


def _beside(file: str) -> Path:
    """Where in the folder of results a photo's goes: `1950/scan.jpg` to `1950/scan.color.jpg`.

    That of a photo outside of its folder goes to the top.
    """
    out = default_out(Path(file))
    return Path(out.name) if out.is_absolute() or ".." in out.parts else out


def _records(name: str, text: str) -> Iterator[tuple[int, dict[str | None, str]]]:
    """The rows after the first, by column, each with the number of its last line."""
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    content = io.StringIO(text, newline="")
    reader = csv.DictReader(content, delimiter=delimiter, skipinitialspace=True, strict=True)
    line = 0
    try:
        reader.fieldnames = [column.strip().lower() for column in reader.fieldnames or ()]
        if missing := {"file", "text"} - set(reader.fieldnames):
            raise TableError(
                f"{name} has no column {' and no column '.join(sorted(missing))}: its first line "
                "must be file,text or file,text,out."
            )
        line = reader.line_num
        for row in reader:
            line = reader.line_num
            yield line, row
    except csv.Error as error:
        raise TableError(
            f"{name}, line {line + 1}: {error}. A text in quotes ends with one, and has each "
            'quote within doubled: "a 5"" cup".'
        ) from error


def _checked(jobs: list[Job]) -> list[Job]:
    """Raises TableError if two results, or a result and a photo, are the same file."""
    photos = {realpath(job.photo) for job in jobs}  # Path.resolve stops at a link in a circle
    seen: dict[str, Job] = {}
    for job in jobs:
        if job.out.suffix.lower() not in WRITABLE:
            raise TableError(f"{job.out.name}: a result is one of {', '.join(sorted(WRITABLE))}.")
        place = realpath(job.out)
        if place in photos:
            raise TableError(f"{job.out} would overwrite a photo: give the result another name.")
        if place in seen:
            raise TableError(
                f"{job.photo.name} and {seen[place].photo.name} are both to be written to "
                f"{job.out}: give one of them another name, or another out in a table."
            )
        seen[place] = job
    return jobs
