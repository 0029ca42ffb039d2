"""What files are called after: a photograph, one of its descriptions, one of its objects."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Generic, TypeVar

from ..files.captions import names_of, numbered_phrases
from ..files.formats import READABLE
from ..files.pictures import files_below
from ..model.phrases import PhraseError, split_phrases

NUMBERED = re.compile(r"(?P<photograph>.+)_(?P<number>\d{1,9})")

T = TypeVar("T")


class CompareError(ValueError):
    """Folders or files do not go together; the message says which."""


@dataclass(frozen=True)
class Name:
    """What a result is of.

    Attributes:
        photograph: path of the photograph below its folder, without type.
        number: which of its descriptions; None: the results are not numbered.
    """

    photograph: str
    number: int | None = None

    def __str__(self) -> str:
        return self.photograph if self.number is None else f"{self.photograph}_{self.number}"

    @property
    def order(self) -> tuple[str, int]:
        """What sorts the names: those of one photograph lie together."""
        return self.photograph, -1 if self.number is None else self.number


class Said(Generic[T]):
    """What a file says of photographs, found by path, or by name where that is unambiguous."""

    def __init__(
        self,
        file: Path | None,
        entries: Iterable[tuple[str, int, T]],
        photographs: Iterable[str],
    ) -> None:
        """List what is said.

        Args:
            file: for the message.
            entries: name or path of a picture, number of the description, and what is said.
            photographs: paths without type. Of those with one name in several folders, only what
                is said with the folder is known.
        """
        self._file = file
        self._photographs = set(photographs)
        self._said: dict[str, dict[int, T]] = {}
        self._paths: dict[str, set[str]] = {}
        names = Counter(PurePosixPath(path).name for path in self._photographs)
        self._shared = {name for name, count in names.items() if count > 1}
        for picture, number, said in entries:
            path = without_type(PurePosixPath(picture))
            self._said.setdefault(path, {}).setdefault(number, said)
            self._paths.setdefault(PurePosixPath(path).name, set()).add(path)

    def of(self, name: Name) -> T | None:
        """What is said of a picture; under the lowest number where it has none.

        What is said under the name of the result itself, such as `a_1`, goes before description
        number 1 of the photograph `a`, unless there is a photograph of that name.

        Raises:
            CompareError: the pictures of that name in several folders are described differently.
        """
        ways = [name] if str(name) in self._photographs else [Name(str(name)), name]
        for way in ways:
            for path in names_of(PurePosixPath(way.photograph)):
                if (said := self._at(path, way.number)) is not None:
                    return said
        if PurePosixPath(name.photograph).name in self._shared:
            return None
        for way in ways:
            if (said := self._by_name(way)) is not None:
                return said
        return None

    def all_of(self, photograph: str) -> dict[int, T]:
        """Everything that is said of a photograph, by number, from the lowest on.

        Raises:
            CompareError: as `of`.
        """
        names = (Name(photograph, number) for number in self._numbers(photograph))
        found = ((name.number, self.of(name)) for name in names)
        return {n: said for n, said in found if n is not None and said is not None}

    def numbered(self, name: Name) -> Name:
        """A name with the lowest number that something is said under, where it has none."""
        numbers = self._numbers(name.photograph)
        return Name(name.photograph, numbers[0]) if name.number is None and numbers else name

    def _numbers(self, photograph: str) -> list[int]:
        path = PurePosixPath(photograph)
        paths = {name for name in names_of(path) if name in self._said}
        if not paths and path.name not in self._shared:
            paths = self._paths.get(path.name, set())
        return sorted({number for path in paths for number in self._said[path]})

    def _at(self, path: str, number: int | None) -> T | None:
        said = self._said.get(path)
        return said.get(min(said) if number is None else number) if said else None

    def _by_name(self, name: Name) -> T | None:
        paths = sorted(self._paths.get(PurePosixPath(name.photograph).name, ()))
        found = {path: said for path in paths if (said := self._at(path, name.number)) is not None}
        if len(set(found.values())) > 1:
            raise CompareError(
                f"{self._file} says different things of {' and '.join(found)}, and {name} could be "
                "any of them: it must lie in the folder that is meant."
            )
        return next(iter(found.values()), None)


class Objects:
    """What descriptions name, and where it is: their phrases, and a mask for each."""

    def __init__(
        self, masks: Path | None, phrases: Path | None, photographs: Iterable[str], *others: Path
    ) -> None:
        """Find the masks.

        Args:
            masks: folder of `NAME.0.png`, `NAME.1.png` and so on, in the order of the phrases; NAME
                is a photograph's, or `NAME_N` of its description number N.
            phrases: lists of phrases by file name (see `numbered_phrases`), in place of the
                comma-separated parts of the descriptions that they are for.
            photographs: paths without type.
            others: folders that may lie inside that of the masks, and are no part of it.

        Raises:
            CompareError: a file in the folder is not named like a mask, or none is there.
            CaptionsError: the phrases are in no known format.
        """
        known = list(photographs)
        self._masks = _masks(masks, called(known), others) if masks else {}
        entries = numbered_phrases(phrases) if phrases else []
        numbered = [(name, n, said) for name, n, said in entries if n is not None]
        general = [(name, 0, said) for name, n, said in entries if n is None]
        self._phrases = Said(phrases, numbered, known)
        self._general_phrases = Said(phrases, general, known)

    @property
    def photographs(self) -> set[str]:
        """What there are masks of."""
        return {name.photograph for name in self._masks}

    def of(self, name: Name, text: str | None) -> tuple[Sequence[str], Sequence[Path]]:
        """The phrases and masks of a description, where its photograph has masks.

        What is given for a photograph holds for every description that has nothing of its own.
        Results without numbers are of the lowest one that has phrases, or of number 0.
        """
        photograph, own = Name(name.photograph), self._phrases.numbered(name)
        if own.number is None:
            own = Name(name.photograph, 0)
        phrases = self._phrases.of(own) or self._general_phrases.of(photograph) or _parts(text)
        return phrases, self._masks.get(own) or self._masks.get(photograph, ())


def visible_files(folder: Path, others: Iterable[Path]) -> list[Path]:
    """The visible files of a folder and its subfolders, as paths below it.

    Args:
        folder: where to look.
        others: folders that may lie inside it: their files are not its own.

    Raises:
        CompareError: it is no folder.
    """
    if not folder.is_dir():
        raise CompareError(f"{folder} is not a folder.")
    apart = {other.resolve() for other in others} - {folder.resolve(), *folder.resolve().parents}
    found = []
    for file in files_below(folder):
        below, here = file.relative_to(folder), file.parent.resolve()
        is_hidden = any(part.startswith(".") for part in below.parts)
        if not is_hidden and apart.isdisjoint({here, *here.parents}):
            found.append(below)
    return sorted(found)


def without_type(path: PurePath) -> str:
    """Write a path with slashes, without its type."""
    return (path.parent / path.stem).as_posix()


def called(truth: Iterable[str]) -> dict[str, str]:
    """The photographs' paths by all that they are called; a path is nobody else's name."""
    paths = list(truth)
    by_name = {name: path for path in paths for name in names_of(PurePosixPath(path))}
    return by_name | {path: path for path in paths}


def name_of(key: str, truth: Mapping[str, str]) -> Name:
    """What a file is of: a photograph, or a photograph under one of several descriptions.

    Args:
        key: its path below its folder, without type.
        truth: the photographs by all that they are called.
    """
    if key in truth:
        return Name(truth[key])
    found = NUMBERED.fullmatch(key)
    if not found:
        return Name(key)
    photograph = PurePosixPath(found["photograph"])
    candidates = [photograph.as_posix()]
    if photograph.suffix.lower() in READABLE:
        candidates.append(without_type(photograph))
    known = [Name(truth[path], int(found["number"])) for path in candidates if path in truth]
    return known[0] if known else Name(key)


def _masks(
    folder: Path, truth: Mapping[str, str], others: Iterable[Path]
) -> dict[Name, tuple[Path, ...]]:
    """A folder's masks by what they are of, in the order of their numbers."""
    found: dict[Name, list[tuple[int, Path]]] = {}
    for file in (file for file in visible_files(folder, others) if file.suffix.lower() == ".png"):
        key, _, number = without_type(file).rpartition(".")
        if not key or not number.isdecimal():
            raise CompareError(
                f"{folder / file} is not named like a mask: NAME.0.png, NAME.1.png, ..."
            )
        found.setdefault(name_of(key, truth), []).append((int(number), folder / file))
    if not found:
        raise CompareError(f"{folder} holds no masks: NAME.0.png, NAME.1.png, ...")
    return {name: tuple(file for _, file in sorted(some)) for name, some in found.items()}


def _parts(text: str | None) -> list[str]:
    """The comma-separated parts of a description, as the nodes take it apart."""
    try:
        return split_phrases("", text or "")
    except PhraseError:
        return []
