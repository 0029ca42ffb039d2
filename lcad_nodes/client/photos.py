"""Photo files: read as upright 8-bit sRGB, and written with what the original told about itself."""

import logging
import math
import os
import re
import stat
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import (
    ExifTags,
    Image,
    ImageCms,
    ImageOps,
    PngImagePlugin,
    TiffTags,
    UnidentifiedImageError,
)

from ..files.digests import digest
from ..files.formats import DECODERS, LONGEST_SIDE, WITH_ALPHA
from ..files.pictures import BROKEN, SENSELESS, PictureError, as_seen

logger = logging.getLogger(__name__)

HOUR, DAY = 3600, 86400
SRGB = 1  # of the tag ColorSpace
XMP = 700  # the tag of a TIFF file
# Tags that say how a TIFF file is laid out or how its pixels are stored: not true of another file.
STRUCTURE = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281),
    *(284, 288, 289, 290, 291, 292, 293, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325),
    *(330, 332, 333, 334, 336, 337, 338, 339, 340, 341, 342, 347, 512, 513, 514, 519, 520, 521),
    *(529, 530, 531, 532, XMP, 34377, 34675, 37724),
}
JPEG_XMP_BYTES = 65504  # that one segment holds after its name
MAKER = "lcad-nodes "
"""What the EXIF tag ImageHistory of our own results begins with."""
HISTORY = re.compile(rf"{MAKER}([0-9]{{1,12}}) (.*)", re.DOTALL)


class PhotoError(ValueError):
    """A file cannot be read as a photo, or not be written; the message names it and says why."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo, upright, with what is kept of its metadata: EXIF and XMP, not IPTC.

    Attributes:
        picture: RGB, eight bits, in sRGB; what was transparent is on white.
        alpha: how opaque it is, or None where it is opaque everywhere.
        exif: its EXIF data, without a rotation.
        dpi: its resolution, or None.
        xmp: its XMP packet, or None.
        digest: of the file that all this was read from.
    """

    picture: Image.Image
    alpha: Image.Image | None
    exif: Image.Exif
    dpi: tuple[float, float] | None
    xmp: bytes | None
    digest: str


def read(path: Path) -> Photo:
    """Read a photo of any kind.

    Raises:
        PhotoError: if there is no such file, or it is not a picture, broken or too large.
    """
    try:
        _require_content(path)
        # By a file, not its name: the digest is of the same bytes, whatever takes its place; and
        # Pillow maps a named TIFF into memory, and turned ones wrongly.
        with path.open("rb") as file, Image.open(file, formats=DECODERS) as image:
            return _read(image, file, path)
    except FileNotFoundError as error:
        raise PhotoError(f"There is no file {path}.") from error
    except UnidentifiedImageError as error:
        raise PhotoError(
            f"{path.name} is not a picture, or of a kind that cannot be read here: save it without "
            "alpha and extra channels, with 8 or 16 bits."
        ) from error
    except Image.DecompressionBombError as error:
        raise PhotoError(
            f"{path.name} has more than 178 megapixels, the most that ComfyUI reads: scale it down."
        ) from error
    except PictureError as error:
        raise PhotoError(f"{path.name} cannot be read: {error}") from error
    except BROKEN as error:
        raise PhotoError(f"{path.name} cannot be read, is broken or cut off: {error}") from error


def _require_content(path: Path) -> None:
    """Raises PictureError for an empty file, and for what is none: a pipe would be waited for."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise PictureError("it is a folder, a pipe or a device: give a file")
    if not found.st_size:
        raise PictureError("it is empty: copy it once more from where it came")


def _read(image: Image.Image, file: IO[bytes], path: Path) -> Photo:
    pages = getattr(image, "n_frames", 1)  # first: counting a TIFF's pages reads its EXIF anew
    if not isinstance(image.info.get("xmp"), bytes | str):
        image.info.pop("xmp", None)  # numbers, where a TIFF's tag is of a wrong type
    exif = _exif(image, path)
    image.load()
    if pages > 1:
        logger.warning("%s has %d pages: the first is taken", path.name, pages)
    orientation = exif.get(ExifTags.Base.Orientation, 1)
    seen = as_seen(image, orientation)
    if seen.doubt:
        logger.warning(
            "%s: its color profile does not fit it and is left out: %s", path.name, seen.doubt
        )
    for tag in STRUCTURE | {ExifTags.Base.Orientation}:
        exif.pop(tag, None)
    dpi = image.info.get("dpi")
    if dpi is not None:
        dpi = (float(dpi[0]), float(dpi[1]))
        dpi = dpi if all(math.isfinite(one) and one > 0 for one in dpi) else None
    file.seek(0)
    return Photo(
        picture=seen.rgb,
        alpha=seen.alpha,
        exif=exif,
        dpi=(dpi[1], dpi[0]) if dpi and orientation in range(5, 9) else dpi,
        xmp=_without_orientation(image.info.get("xmp")),
        digest=digest(file),
    )


def _exif(image: Image.Image, path: Path) -> Image.Exif:
    """All of the EXIF data that can be read; a photo is not refused for the rest."""
    try:
        exif = image.getexif()
    except (*SENSELESS, SyntaxError) as error:
        logger.warning("%s: its metadata make no sense and are left out: %s", path.name, error)
        return Image.Exif()
    for part in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop):
        with suppress(*SENSELESS, SyntaxError):
            exif.get_ifd(part)  # a TIFF file is closed once it is loaded
    return exif


def read_mask(path: Path, size: tuple[int, int]) -> Image.Image:
    """Read a mask: white where the object is.

    Of a picture with transparency the mask is what is transparent, as ComfyUI reads and saves it;
    but where all that can be seen is white, it is that.

    Args:
        path: the file.
        size: width and height of the photo.

    Raises:
        PhotoError: if it is not a picture, not of the photo's size, or empty.
    """
    photo = read(path)
    mask = photo.picture.convert("L")
    if photo.alpha is not None:
        is_white = mask.getextrema() == (255, 255)  # and so is the paper behind it
        mask = photo.alpha if is_white else ImageOps.invert(photo.alpha)
        part = "what is white in it" if is_white else "what is transparent in it"
        logger.info("The mask %s: its object is %s.", path.name, part)
    if mask.size != size:
        raise PhotoError(
            "The mask {} is {} x {} pixels and the photo {} x {}: they must be of the same "
            "size.".format(path.name, *mask.size, *size)
        )
    if mask.getbbox() is None:
        raise PhotoError(f"The mask {path.name} is black everywhere: paint its object white.")
    return mask


def write(picture: Image.Image, photo: Photo, out: Path, made_from: str) -> None:
    """Write a colorized photo, whole or not at all, in the format that its name asks for.

    Args:
        picture: RGB, of the photo's size.
        photo: where metadata and transparency come from.
        out: the file; one that is there is replaced.
        made_from: goes into the EXIF tag ImageHistory, after `MAKER` and the file's time in
            seconds. Where the photo's own metadata cannot be written, only this is.

    Raises:
        PhotoError: if it cannot be written.
    """
    suffix = out.suffix.lower()
    if photo.alpha is not None and suffix in WITH_ALPHA:
        picture = _off_white(picture, photo.alpha)
    exif = photo.exif
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    needed: dict[str, Any] = {"icc_profile": profile, **_format(suffix)}
    options = needed.copy()
    if photo.dpi and suffix != ".webp":
        options["dpi"] = photo.dpi
    if photo.xmp and suffix in {".jpg", ".jpeg"} and len(photo.xmp) > JPEG_XMP_BYTES:
        logger.warning("%s: its XMP data are too long for a JPEG file and are left out", out.name)
    elif photo.xmp:
        options |= _with_xmp(photo.xmp, exif, suffix)
    made_from = f"{(written := int(time.time()))} {made_from}"
    part = out.with_name(f".{uuid.uuid4().hex}{out.suffix}")  # short, whatever the result's name is
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            picture.save(part, exif=_signed(exif, picture.size, made_from), **options)
        except SENSELESS as error:
            logger.warning("%s: its metadata make no sense and are left out: %s", out.name, error)
            picture.save(part, exif=_signed(Image.Exif(), picture.size, made_from), **needed)
        with suppress(OSError):  # as a network drive may forbid
            os.utime(part, (written, written))
        os.replace(part, out)  # noqa: PTH105
    except BROKEN as error:
        raise PhotoError(f"{out} cannot be written: {error}") from error
    finally:
        with suppress(OSError, ValueError):  # as above, for a place that cannot be
            part.unlink(missing_ok=True)


def made_from(path: Path) -> str | None:
    """What `write` was told that a file was made from; None if it did not write it."""
    said = _history(path)
    return said and said[1]


def is_touched(path: Path) -> bool:
    """Whether something else has written what `write` wrote: its time is later, or earlier.

    Some file systems know every other second only, or the local time, which may be another now.
    """
    written, _ = _history(path) or (0, "")
    away = abs(path.stat().st_mtime - written)
    return away > 2 and not (away < DAY and min(away % HOUR, -away % HOUR) <= 2)


def _history(path: Path) -> tuple[int, str] | None:
    """When `write` wrote a file, in seconds, and what it was made from; None if it did not."""
    try:
        if not path.is_file():
            return None  # a pipe would be waited for
        with Image.open(path, formats=DECODERS) as image:
            said = image.getexif().get(ExifTags.Base.ImageHistory)
    except (*BROKEN, Image.DecompressionBombError):
        return None
    found = HISTORY.fullmatch(said) if isinstance(said, str) else None
    return (int(found[1]), found[2]) if found else None


def require_place(folder: Path) -> None:
    """Make a folder if need be.

    Raises:
        PhotoError: if no file can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Windows' `tempfile` tries for hours where it is not allowed to write.
        probe = folder / f".{uuid.uuid4().hex}"
        probe.touch(exist_ok=False)
        with suppress(PermissionError):  # as long as a virus scanner looks at it
            probe.unlink()
    except OSError as error:
        raise PhotoError(f"Nothing can be written to {folder}: {error}") from error


def require_fitting(size: tuple[int, int], out: Path) -> None:
    """See that a format has room for a picture, and a folder for its name.

    Args:
        size: width and height, in pixels.
        out: the file to write.

    Raises:
        PhotoError: if not.
    """
    longest = LONGEST_SIDE.get(out.suffix.lower(), max(size))
    if max(size) > longest:
        raise PhotoError(
            "{} would be {} x {} pixels, and a side of a {} file has at most {}: choose a name "
            "that ends with .png or .tif.".format(out.name, *size, out.suffix, longest)
        )
    try:
        with suppress(FileNotFoundError):
            out.lstat()
    except OSError as error:  # of a name that is too long
        raise PhotoError(f"{out} cannot be written: {error}") from error


def _signed(exif: Image.Exif, size: tuple[int, int], made_from: str) -> Image.Exif:
    exif[ExifTags.Base.ImageHistory] = f"{MAKER}{made_from}"
    own = exif.get_ifd(ExifTags.IFD.Exif)
    own[ExifTags.Base.ColorSpace] = SRGB
    sides = (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight)
    for tag, side in zip(sides, size, strict=True):
        if tag in own:  # and of a photo that lay on its side, the other one
            own[tag] = side
    for tag in list(exif):
        with suppress(*SENSELESS):  # a tag that cannot even be read is not a text
            is_text = TiffTags.lookup(tag).type == TiffTags.ASCII
            if is_text and isinstance(value := exif[tag], str) and not value.isascii():
                # Pillow reads texts as Latin-1, whatever they are, and writes "?" for others.
                exif[tag] = value.encode("latin-1")
    return exif


def _with_xmp(xmp: bytes, exif: Image.Exif, suffix: str) -> dict[str, Any]:
    """How a format takes an XMP packet: as an option, a text chunk of PNG or a tag of TIFF."""
    if suffix == ".png":
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", errors="replace"))
        return {"pnginfo": chunks}
    if suffix in {".tif", ".tiff"}:
        exif[XMP] = xmp
        return {}
    return {"xmp": xmp}


def _format(suffix: str) -> dict[str, Any]:
    if suffix in {".jpg", ".jpeg"}:
        return {"quality": 95, "subsampling": 0}
    if suffix in {".tif", ".tiff"}:
        return {}  # with compression, libtiff writes it, which cannot write EXIF
    # Of photos, PNG's level 6 takes three times as long and is no smaller.
    return {"quality": 95} if suffix == ".webp" else {"compress_level": 3}


def _off_white(picture: Image.Image, alpha: Image.Image) -> Image.Image:
    """RGBA that looks like `picture` on white, which what is transparent has been read on."""
    pixels, opaque = np.array(picture), np.asarray(alpha)
    partly = (opaque > 0) & (opaque < 255)
    share = opaque[partly, None] / np.float32(255)
    pixels[partly] = (255 - (255 - pixels[partly]) / share).clip(0, 255).round()
    result = Image.fromarray(pixels)
    result.putalpha(alpha)
    return result


def _without_orientation(xmp: bytes | str | None) -> bytes | None:
    """An XMP packet that does not turn an upright picture once more."""
    if xmp is None:
        return None
    packet = xmp.encode() if isinstance(xmp, str) else xmp
    return re.sub(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[2-8]", rb"\g<1>1", packet)
