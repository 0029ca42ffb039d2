"""Descriptions of photos, in any known format."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

Captions = dict[str, tuple[str, ...]]
"""Descriptions by file name."""

_NUMBERED = re.compile(r"(?P<name>.+\.\w+)_(?P<number>\d{1,9})")


class CaptionsError(ValueError):
    """A caption file is not in a known format; the message names file and place."""


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
    content = _read(path, "captions")
    entries = _coco(content, path) if "annotations" in content else content
    return list(_numbered(entries, path))


def numbered_phrases(path: Path) -> list[tuple[str, int | None, tuple[str, ...]]]:
    """Read the phrases of descriptions.

    The file has a list of texts for every file name, or for every `<file name>_<number>`.

    Returns:
        The photo's file name, which of its descriptions they are of (None: whichever), and the
        phrases.

    Raises:
        CaptionsError: if it is anything else.
    """
    found: list[tuple[str, int | None, tuple[str, ...]]] = []
    for key, phrases in _read(path, "phrases").items():
        if not isinstance(phrases, list) or not all(map(_is_phrase, phrases)):
            raise CaptionsError(
                f"{path}: {key}: expected a list of texts of one line, one for each mask"
            )
        name, number = _parted(key)
        found.append((name, number, tuple(map(str.strip, phrases))))
    return found


def _is_phrase(text: Any) -> bool:
    return isinstance(text, str) and len(text.strip().splitlines()) == 1


def _read(path: Path, what: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise CaptionsError(f"{path} cannot be read as {what}: {error}") from error
    if not isinstance(content, dict):
        raise CaptionsError(f"{path}: expected an object, not {type(content).__name__}")
    return content


def _parted(key: str) -> tuple[str, int | None]:
    """A file name and the number behind it, if there is one."""
    found = _NUMBERED.fullmatch(key)
    return (found["name"], int(found["number"])) if found else (key, None)


def captions_of(path: PurePath, captions: Captions) -> tuple[str, ...]:
    """The descriptions of a photo, by its path in its folder."""
    names = (*names_of(path), path.name)
    return next((captions[name] for name in names if captions.get(name)), ())


def names_of(path: PurePath) -> tuple[str, ...]:
    """What a photo is called that lies at a path in its folder.

    `vg/VG_100K/1.jpg` is called so, or `vg_VG_100K_1.jpg`, or `vg_1.jpg`, as in Multi-instances.
    """
    name = path.as_posix()
    return tuple(dict.fromkeys((name, name.replace("/", "_"), f"{path.parts[0]}_{path.name}")))


def _numbered(entries: Mapping[str, Any], path: Path) -> Iterator[tuple[str, int, str]]:
    for key, value in entries.items():
        name, first, texts = key, None, value
        if isinstance(value, str):
            texts = [value]
            name, first = _parted(key)
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise CaptionsError(f"{path}: {key}: expected a text or a list of texts")
        yield from ((name, number, text.strip()) for number, text in enumerate(texts, first or 0))


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
