"""What is said of photographs, and where the things are that it names."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from ..files.captions import names_of, numbered_captions, numbered_phrases
from ..model.phrases import PhraseError, split_phrases
from .naming import CompareError, Name, called, name_of, visible_files, without_type

N = TypeVar("N")
T = TypeVar("T")


class Descriptions:
    """The descriptions of photographs, their phrases, and a mask for each phrase.

    Attributes:
        texts: descriptions by photograph and number.
    """

    def __init__(
        self,
        photographs: Collection[str],
        captions: Path | None,
        phrases: Path | None,
        masks: Path | None,
        others: Iterable[Path],
    ) -> None:
        """Find what belongs to the photographs.

        Args:
            photographs: paths without type.
            captions: descriptions by file name (see `numbered_captions`).
            phrases: lists of phrases by file name (see `numbered_phrases`), in place of the
                comma-separated parts of the descriptions that they are for.
            masks: folder of `NAME.0.png`, `NAME.1.png` and so on, in the order of the phrases; NAME
                is a photograph's, or `NAME_N` of its description number N.
            others: folders that may lie inside that of the masks, and are no part of it.

        Raises:
            CompareError: masks or phrases are of nothing, a file in the folder is not named like a
                mask, or none is there.
            CaptionsError: captions or phrases are in no known format.
        """
        if masks and not captions and not phrases:
            raise CompareError(
                "--masks is given without --captions: the comma-separated parts of the "
                "descriptions, or the phrases of --phrases, say what each mask is."
            )
        if phrases and not masks:
            raise CompareError(
                "--phrases is given without --masks, which mark what each phrase is of."
            )
        said = numbered_captions(captions) if captions else []
        named = numbered_phrases(phrases) if phrases else []
        self.texts = _by_photograph(said, photographs)
        self._phrases = _by_photograph(named, photographs)
        self._masks = _masks(masks, called(photographs), others) if masks else {}

    def of(self, name: Name) -> tuple[str | None, Sequence[str], Sequence[Path]]:
        """The description, its phrases, and a mask for each, or none at all.

        What has no number is of the lowest one. Phrases and masks of a photograph hold for every
        description that has none of its own.
        """
        texts = self.texts.get(name.photograph, {})
        phrases = self._phrases.get(name.photograph, {})
        number = min(texts, default=0) if name.number is None else name.number
        text, photograph = texts.get(number), Name(name.photograph)
        masks = self._masks.get(Name(name.photograph, number)) or self._masks.get(photograph, ())
        return text, phrases.get(number) or phrases.get(None) or _parts(text), masks


def _by_photograph(
    entries: Iterable[tuple[str, N, T]], photographs: Collection[str]
) -> dict[str, dict[N, T]]:
    """What a file says of photographs, by their paths, or names that no two of them have."""
    said: dict[str, dict[N, T]] = {}
    for picture, number, what in entries:
        said.setdefault(without_type(PurePosixPath(picture)), {}).setdefault(number, what)
    count = Counter(PurePosixPath(photograph).name for photograph in photographs)
    found: dict[str, dict[N, T]] = {}
    for photograph in photographs:
        path = PurePosixPath(photograph)
        names = (*names_of(path), *([path.name] if count[path.name] == 1 else []))
        if key := next((name for name in names if name in said), None):
            found[photograph] = said[key]
    return found


def _masks(
    folder: Path, photographs: Mapping[str, str], others: Iterable[Path]
) -> dict[Name, tuple[Path, ...]]:
    """A folder's masks by what they are of, in the order of their numbers."""
    found: dict[Name, list[tuple[int, Path]]] = {}
    for file in visible_files(folder, others, {".png"}):
        key, _, number = without_type(file).rpartition(".")
        if not key or not number.isdecimal():
            raise CompareError(
                f"{folder / file} is not named like a mask: NAME.0.png, NAME.1.png, ..."
            )
        found.setdefault(name_of(key, photographs), []).append((int(number), folder / file))
    if not found:
        raise CompareError(f"{folder} holds no masks: NAME.0.png, NAME.1.png, ...")
    return {name: tuple(file for _, file in sorted(some)) for name, some in found.items()}


def _parts(text: str | None) -> list[str]:
    """The comma-separated parts of a description, as the nodes take it apart."""
    try:
        return split_phrases("", text or "")
    except PhraseError:
        return []
