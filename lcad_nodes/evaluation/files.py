"""Files that people bring: pictures in any state, captions in any known format."""

import io
import json
import os
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps

Captions = dict[str, tuple[str, ...]]
"""Descriptions by file name."""

# What Pillow lets through when a file's numbers make no sense.
BROKEN = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, OSError, SyntaxError, TypeError),
    *(ValueError, struct.error),
)
DECODERS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "JPEG2000", "PPM", "TGA")
"""Pillow's names of what is read, and no other of its decoders: one of them starts a program."""
_NUMBERED = re.compile(r"(?P<name>.+\.\w+)_(?P<number>\d+)")


class PictureError(ValueError):
    """A picture cannot be decoded; the message says what was found."""


class CaptionsError(ValueError):
    """A caption file is not in a known format; the message names file and place."""


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


def read_picture(source: Path | bytes) -> Image.Image:
    """Read a picture as it is meant to be seen: upright, in sRGB, on white where see-through.

    An orientation or a color profile that cannot be read, or does not fit, is passed over.

    Args:
        source: a path, or the encoded bytes.

    Returns:
        RGB of 8 bits.

    Raises:
        PictureError: if it is broken, cut short, too large, or no picture.
    """
    try:
        # By its bytes, not its name: Pillow maps a named TIFF into memory, and turned ones wrongly.
        encoded = source if isinstance(source, bytes) else source.read_bytes()
        with Image.open(io.BytesIO(encoded), formats=DECODERS) as image:
            image.load()
            opaque = _on_white(_in_eight_bits(image))
            return _upright(_in_srgb(opaque, image.info.get("icc_profile")), _orientation(image))
    except (*BROKEN, Image.DecompressionBombError) as error:
        raise PictureError(f"{type(error).__name__}: {error}") from error


def _in_eight_bits(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("it holds floating-point numbers: save it with 8 or 16 bits")
    if not image.mode.startswith("I"):
        return image
    share = np.asarray(image, dtype=np.float32) / 65535  # Pillow would clip 16 bits at 255
    return Image.fromarray((share.clip(0, 1) * 255).round().astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode in {"L", "RGB", "CMYK"} else image.convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            space = own.profile.xcolor_space.strip()  # pyright: ignore[reportAttributeAccessIssue]
            if image.mode == "L" and space == "RGB":
                image = image.convert("RGB")  # as programs leave it that took the colors out
            srgb = ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(image, own, srgb, outputMode="RGB") or image
        except (ImageCms.PyCMSError, OSError):
            pass
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except BROKEN:
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    image.info.clear()  # other tags, which may be broken, would be written anew
    image.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(image)


def read_captions(path: Path) -> Captions:
    """Read the descriptions of photos, by file name; see `numbered_captions`.

    Raises:
        CaptionsError: if the file is in no known format.
    """
    captions: dict[str, list[str]] = {}
    for name, _, text in numbered_captions(path):
        captions.setdefault(name, []).append(text)
    return {name: tuple(texts) for name, texts in captions.items()}


def numbered_captions(path: Path) -> list[tuple[str, int, str]]:
    """Read descriptions: the photo's file name, which of its descriptions it is, and the text.

    Known formats: COCO's own (`images` and `annotations`); a text or a list of texts for every
    file name; and one text for every `<file name>_<number>`, as in Extended COCO-Stuff and
    Multi-instances.

    Raises:
        CaptionsError: if the file is none of these.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CaptionsError(f"{path} cannot be read as captions: {error}") from error
    if not isinstance(content, dict):
        raise CaptionsError(f"{path}: expected an object, not {type(content).__name__}")
    entries = _coco(content, path) if "annotations" in content else content
    return list(_numbered(entries, path))


def _numbered(entries: Mapping[str, Any], path: Path) -> Iterator[tuple[str, int, str]]:
    for key, value in entries.items():
        name, first, texts = key, 0, value
        if isinstance(value, str):
            texts = [value]
            if found := _NUMBERED.fullmatch(key):
                name, first = found["name"], int(found["number"])
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise CaptionsError(f"{path}: {key}: expected a text or a list of texts")
        yield from ((name, number, text.strip()) for number, text in enumerate(texts, first))


def _coco(content: Mapping[str, Any], path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    try:
        names = {image["id"]: image["file_name"] for image in content["images"]}
        for annotation in content["annotations"]:
            found.setdefault(names[annotation["image_id"]], []).append(annotation["caption"])
    except (KeyError, TypeError) as error:
        raise CaptionsError(
            f"{path}: not COCO captions: images need id and file_name, annotations image_id and "
            f"caption ({type(error).__name__}: {error})"
        ) from error
    return found
