"""Pictures in any state, read as they are meant to be seen."""

import io
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from .formats import DECODERS

# What Pillow lets through, decoding or encoding, when a file's numbers make no sense.
SENSELESS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error)
BROKEN = (*SENSELESS, EOFError, OSError, SyntaxError)

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture upright, by its EXIF orientation."""


class PictureError(ValueError):
    """A picture cannot be decoded; the message says what was found."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as it is meant to be seen.

    Attributes:
        rgb: upright, eight bits, in sRGB; what is transparent is on white.
        alpha: how opaque it is, or None where it is opaque everywhere.
        doubt: why its color profile was left out; None: it was not, or there is none.
    """

    rgb: Image.Image
    alpha: Image.Image | None
    doubt: str | None


def files_below(folder: Path) -> Iterator[Path]:
    """Every file in a folder and its subfolders, linked ones too; none is entered twice."""
    entered: set[Path] = set()
    for here, folders, names in os.walk(folder, followlinks=True):
        real = Path(here).resolve()
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders.sort()
        yield from (Path(here) / name for name in names)


def read_picture(source: Path | bytes, least: int = 0) -> Image.Image:
    """Read a picture's RGB of 8 bits alone; see `read_whole`.

    Raises:
        PictureError: if it is broken, cut short, too large, or no picture.
    """
    return read_whole(source, least).rgb


def shrunk(image: Image.Image, side: int) -> Image.Image:
    """A picture whose shorter side is at most `side` pixels."""
    scale = min(1.0, side / min(image.size))
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)


def read_whole(source: Path | bytes, least: int = 0) -> Picture:
    """Read a picture as it is meant to be seen: upright, in sRGB, on white where transparent.

    An orientation or a color profile that cannot be read, or does not fit, is passed over.

    Args:
        source: a path, or the encoded bytes.
        least: a JPEG may be read at a half, a quarter or an eighth of its size, several times
            faster, where its sides keep so many pixels; 0: as it is.

    Raises:
        PictureError: if it is broken, cut short, too large, or no picture.
    """
    try:
        # By its bytes, not its name: Pillow maps a named TIFF into memory, and turned ones wrongly.
        encoded = source if isinstance(source, bytes) else source.read_bytes()
        with Image.open(io.BytesIO(encoded), formats=DECODERS) as image:
            if least:
                image.draft(None, (least, least))
            image.load()
            return as_seen(image, _orientation(image))
    except PictureError:
        raise
    except UnidentifiedImageError as error:  # whose text is another each time
        raise PictureError("it is no picture of a known format") from error
    except (*BROKEN, Image.DecompressionBombError) as error:
        raise PictureError(f"{type(error).__name__}: {error}") from error


def as_seen(image: Image.Image, orientation: int) -> Picture:
    """A loaded picture turned upright, in eight bits and sRGB.

    Args:
        image: of any mode.
        orientation: what its EXIF data say, 1 to 8; others leave it as it is.

    Raises:
        PictureError: if it holds numbers of a kind that is not read, floating-point ones outside
            of 0 to 1 for example, or is stored as Pillow misreads it.
    """
    _require_understood(image)
    profile = image.info.get("icc_profile")
    image, alpha = _split(_in_eight_bits(image))
    rgb, doubt = _in_srgb(image, profile)
    if alpha is not None:
        rgb = Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)
    turn = TURNS.get(orientation)
    if turn is not None:
        rgb, alpha = rgb.transpose(turn), None if alpha is None else alpha.transpose(turn)
    return Picture(rgb, alpha, doubt)


def _require_understood(image: Image.Image) -> None:
    """Raises PictureError for a TIFF file whose numbers Pillow takes for others."""
    tags = getattr(image, "tag_v2", {})
    by_channel = tags.get(ExifTags.Base.PlanarConfiguration) == 2
    if by_channel and image.info.get("compression") == "raw":
        black_is_zero = tags.get(ExifTags.Base.PhotometricInterpretation) != 0
        if {*_bits(tags)} != {8} or not black_is_zero:
            raise PictureError(
                "it is stored channel by channel: save it interleaved, or compressed"
            )
    is_signed = 2 in tags.get(ExifTags.Base.SampleFormat, ())
    if is_signed or (image.mode == "I" and 32 in _bits(tags)):
        raise PictureError(
            "it holds signed numbers, or whole ones of 32 bits: save it with 16 bits, unsigned"
        )


def _bits(tags: Mapping[int, Any]) -> tuple[int, ...]:
    """How many a TIFF file has for each channel."""
    bits = tags.get(ExifTags.Base.BitsPerSample, (16,))
    return (bits,) if isinstance(bits, int) else bits


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """Scale what has more than eight bits a channel; a scan's white stays white."""
    tags = getattr(image, "tag_v2", {})
    if image.mode == "F":
        share = np.asarray(image)
        if not (share.min() >= 0 and share.max() <= 1):
            raise PictureError("it holds numbers outside of 0 to 1: save it with 16 bits")
    elif image.mode.startswith("I"):
        white = 2 ** _bits(tags)[0] - 1
        share = np.asarray(image, dtype=np.float32) / white  # Pillow would clip 16 bits at 255
    else:
        return image
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:  # Pillow leaves these negative
        share = 1 - share
    return Image.fromarray((share.clip(0, 1) * 255).round().astype(np.uint8))


def _split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Its colors in a mode that profiles are for, and how opaque it is where it is not so."""
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode == "LA" else "RGBA")
        alpha = image.getchannel("A")
        return image.convert(image.mode[:-1]), None if alpha.getextrema() == (255, 255) else alpha
    if image.mode in {"L", "RGB", "CMYK"}:
        return image, None
    return image.convert("L" if image.mode == "1" else "RGB"), None


def _in_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str | None]:
    """RGB in sRGB, and why the profile was left out if it was."""
    if not profile:
        return image.convert("RGB"), None
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = own.profile.xcolor_space.strip()  # pyright: ignore[reportAttributeAccessIssue]
        if image.mode == "L" and space == "RGB":
            image = image.convert("RGB")  # as programs leave it that took the colors out
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, own, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        return image.convert("RGB"), str(error)
    return converted or image, None  # None is of conversions in place alone


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except BROKEN:
        return 1
