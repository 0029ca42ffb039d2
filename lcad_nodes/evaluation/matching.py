"""Which files belong together, by their names: photographs, results, descriptions, masks."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Generic, TypeVar

from ..files.captions import names_of, numbered_captions, numbered_phrases
from ..files.formats import READABLE
from ..files.pictures import files_below
from ..model.phrases import PhraseError, split_phrases

TRUTH = "truth"
ADDED = ".color"
"""What `quickstart.py colorize` adds to a photo's name."""
NUMBERED = re.compile(r"(?P<photograph>.+)_(?P<number>\d{1,9})")

T = TypeVar("T")
K = TypeVar("K")


class CompareError(ValueError):
    """Folders or files do not go together; the message says which."""


@dataclass(frozen=True)
class Files:
    """What is compared, and with what.

    Attributes:
        folders: one of results a method.
        truth: the photographs in color.
        captions: descriptions by file name (see `numbered_captions`).
        phrases: lists of phrases by file name (see `numbered_phrases`), one phrase for each mask,
            in place of the comma-separated parts of the descriptions that they are for.
        masks: folder of `NAME.0.png`, `NAME.1.png` and so on, in the order of the phrases.
    """

    folders: Sequence[Path]
    truth: Path
    captions: Path | None = None
    phrases: Path | None = None
    masks: Path | None = None


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


Results = dict[Name, Path]
"""Pictures of a method by what they are of."""


@dataclass(frozen=True)
class Request:
    """A photograph under one description, and what the methods made of it.

    Attributes:
        name: of the results.
        truth: the photograph in color.
        results: by method.
        text: the description; None where there is none.
        phrases: of the description.
        masks: one for each phrase, or none at all.
    """

    name: Name
    truth: Path
    results: Mapping[str, Path]
    text: str | None = None
    phrases: Sequence[str] = ()
    masks: Sequence[Path] = ()


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
        self._said: dict[str, dict[int, T]] = {}
        self._paths: dict[str, set[str]] = {}
        names = Counter(PurePosixPath(path).name for path in photographs)
        self._shared = {name for name, count in names.items() if count > 1}
        for picture, number, said in entries:
            path = _without_type(PurePosixPath(picture))
            self._said.setdefault(path, {}).setdefault(number, said)
            self._paths.setdefault(PurePosixPath(path).name, set()).add(path)

    def of(self, name: Name) -> T | None:
        """What is said of a picture; the first thing where it has no number.

        What is said under the name of the result itself, such as `a_1`, goes before description
        number 1 of the photograph `a`.

        Raises:
            CompareError: the pictures of that name in several folders are described differently.
        """
        ways = (Name(str(name)), name)
        for way in ways:
            for called in names_of(PurePosixPath(way.photograph)):
                if (said := self._at(called, way.number)) is not None:
                    return said
        if PurePosixPath(name.photograph).name in self._shared:
            return None
        for way in ways:
            if (said := self._by_name(way)) is not None:
                return said
        return None

    def _at(self, path: str, number: int | None) -> T | None:
        said = self._said.get(path, {})
        return next(iter(said.values()), None) if number is None else said.get(number)

    def _by_name(self, name: Name) -> T | None:
        paths = sorted(self._paths.get(PurePosixPath(name.photograph).name, ()))
        found = {path: said for path in paths if (said := self._at(path, name.number)) is not None}
        if len(set(found.values())) > 1:
            raise CompareError(
                f"{self._file} says different things of {' and '.join(found)}, and {name} could be "
                "any of them: it must lie in the folder that is meant."
            )
        return next(iter(found.values()), None)


def match(files: Files) -> tuple[list[Request], list[str]]:
    """Bring together what belongs together.

    A file's name is its path below its folder, without type and without the `.color` of
    `quickstart.py colorize`; hidden files do not count. A result `a_1` or `a.jpg_1` is of the
    photograph `a` and its description number 1, unless there is a photograph of that name.

    Returns:
        What all methods have results of, sorted by photograph; and a sentence for everything that
        is missing.

    Raises:
        CompareError: folders have one name or no pictures, two files of a folder have one name,
            nothing is in all folders, or what is given is not enough to use the rest.
        CaptionsError: captions or phrases are in no known format.
    """
    _check_masks_are_described(files)
    methods = _methods(files.folders)
    truth = _pictures(files.truth, files, truth=True)
    called = _called(truth)
    results = {
        method: _results(folder, _pictures(folder, files, truth=False), called)
        for method, folder in methods.items()
    }
    everywhere = set.intersection(*map(set, results.values()))
    common = sorted((n for n in everywhere if n.photograph in truth), key=lambda name: name.order)
    if not common:
        raise CompareError(
            f"No photograph of {files.truth} has a result in every folder. Those of some are "
            "numbered by description, as a_0, and those of others not: number all or none."
            if _are_mixed(results)
            else f"No photograph of {files.truth} has a result in every folder."
        )
    captions = numbered_captions(files.captions) if files.captions else []
    phrases = numbered_phrases(files.phrases) if files.phrases else []
    texts, parts = Said(files.captions, captions, truth), Said(files.phrases, phrases, truth)
    masks = _masks(files.masks, files, called) if files.masks else {}
    requests = []
    for name in common:
        text = texts.of(name)
        made = {method: found[name] for method, found in results.items()}
        marked = masks.get(name) or masks.get(Name(name.photograph), ())
        said = parts.of(name) or _parts(text)
        requests.append(Request(name, truth[name.photograph], made, text, said, marked))
    strange = {name.photograph for name in masks} - {name.photograph for name in common}
    return requests, [*_missing(truth, results), *_lacking(requests, files, strange)]


def _check_masks_are_described(files: Files) -> None:
    if files.masks and not files.captions and not files.phrases:
        raise CompareError(
            "--masks is given without --captions: the comma-separated parts of the descriptions, "
            "or the phrases of --phrases, say what each mask is."
        )
    if files.phrases and not files.masks:
        raise CompareError("--phrases is given without --masks, which mark what each phrase is of.")


def _methods(folders: Sequence[Path]) -> dict[str, Path]:
    """The folders by the names that the methods go by."""
    names = Counter(folder.resolve().name for folder in folders)
    twice = [name for name, count in names.items() if count > 1 or name == TRUTH]
    if twice:
        raise CompareError(
            f"Methods go by their folders' names, and {', '.join(twice)} is taken: rename it."
        )
    return {folder.resolve().name: folder for folder in folders}


def _pictures(folder: Path, files: Files, *, truth: bool) -> dict[str, Path]:
    """A folder's pictures by their names.

    `quickstart.py colorize` puts its results beside the photos, with a longer name: the truth are
    the photos, and a method's pictures the results, where there are any.
    """
    found = [file for file in _below(folder, files) if file.suffix.lower() in READABLE]
    results = [file for file in found if file.stem.endswith(ADDED)]
    plain = [file for file in found if not file.stem.endswith(ADDED)]
    chosen = plain if truth or not results else results
    if not chosen:
        raise CompareError(f"{folder} holds no pictures ({', '.join(sorted(READABLE))}).")
    return _once(
        folder, [(_without_type(file).removesuffix(ADDED), folder / file) for file in chosen]
    )


def _results(folder: Path, pictures: Mapping[str, Path], truth: Mapping[str, str]) -> Results:
    return _once(folder, [(_name(key, truth), file) for key, file in pictures.items()])


def _are_mixed(results: Mapping[str, Results]) -> bool:
    """Whether results are of the same photographs, but for the numbers of descriptions."""
    photographs = [{name.photograph for name in found} for found in results.values()]
    return bool(set.intersection(*photographs))


def _below(folder: Path, files: Files) -> list[Path]:
    """The visible files of a folder and its subfolders, as paths below it.

    Other folders that were given may lie inside it: their files are not its own.
    """
    if not folder.is_dir():
        raise CompareError(f"{folder} is not a folder.")
    given = (*files.folders, files.truth, *filter(None, [files.masks]))
    others = {other.resolve() for other in given} - {folder.resolve(), *folder.resolve().parents}
    found = []
    for file in files_below(folder):
        below, here = file.relative_to(folder), file.parent.resolve()
        is_hidden = any(part.startswith(".") for part in below.parts)
        if not is_hidden and others.isdisjoint({here, *here.parents}):
            found.append(below)
    return sorted(found)


def _once(folder: Path, named: Sequence[tuple[K, Path]]) -> dict[K, Path]:
    """Files by their names, of which there must be one each."""
    twice = [str(name) for name, count in Counter(name for name, _ in named).items() if count > 1]
    if twice:
        raise CompareError(f"{folder} has more than one picture named {', '.join(twice)}.")
    return dict(named)


def _without_type(path: PurePath) -> str:
    return (path.parent / path.stem).as_posix()


def _called(truth: Iterable[str]) -> dict[str, str]:
    """The photographs' paths by all that they are called; a path is nobody else's name."""
    paths = list(truth)
    called = {name: path for path in paths for name in names_of(PurePosixPath(path))}
    return called | {path: path for path in paths}


def _name(key: str, truth: Mapping[str, str]) -> Name:
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
        candidates.append(_without_type(photograph))
    known = [Name(truth[called], int(found["number"])) for called in candidates if called in truth]
    return known[0] if known else Name(key)


def _masks(folder: Path, files: Files, truth: Mapping[str, str]) -> dict[Name, tuple[Path, ...]]:
    """A folder's masks by what they are of, in the order of their numbers."""
    found: dict[Name, list[tuple[int, Path]]] = {}
    for file in (file for file in _below(folder, files) if file.suffix.lower() == ".png"):
        key, _, number = _without_type(file).rpartition(".")
        if not key or not number.isdecimal():
            raise CompareError(
                f"{folder / file} is not named like a mask: NAME.0.png, NAME.1.png, ..."
            )
        found.setdefault(_name(key, truth), []).append((int(number), folder / file))
    if not found:
        raise CompareError(f"{folder} holds no masks: NAME.0.png, NAME.1.png, ...")
    return {name: tuple(file for _, file in sorted(some)) for name, some in found.items()}


def _parts(text: str | None) -> list[str]:
    """The comma-separated parts of a description, as the nodes take it apart."""
    try:
        return split_phrases("", text or "")
    except PhraseError:
        return []


def _missing(truth: Collection[str], results: Mapping[str, Mapping[Name, Path]]) -> list[str]:
    """Name what one folder has and another has not."""
    made = set[Name]().union(*results.values())
    unmade = {Name(photograph) for photograph in {*truth} - {name.photograph for name in made}}
    lacking = {TRUTH: {name for name in made if name.photograph not in truth}}
    lacking |= {method: (made | unmade) - set(found) for method, found in results.items()}
    return [
        f"Not scored, since {folder} lacks them: {_listed(names)}."
        for folder, names in lacking.items()
        if names
    ]


def _lacking(requests: Sequence[Request], files: Files, strange: Iterable[str]) -> list[str]:
    """Name what has no description or masks, and masks of `strange` photographs."""
    notes: list[str] = []
    undescribed = [request.name for request in requests if not request.text]
    unmasked = [request.name for request in requests if not request.masks]
    if not files.captions:
        empty = "CLIP score is" if files.phrases else "CLIP score, color accuracy and binding are"
        notes.append(f"{empty} empty: no captions were given.")
    elif undescribed:
        notes.append(f"Without a description: {_listed(undescribed)}.")
    if files.captions and not files.masks:
        notes.append("Color accuracy and binding are empty: no masks were given.")
    elif files.masks and unmasked:
        notes.append(f"Without masks: {_listed(unmasked)}.")
    if names := sorted(strange):
        notes.append(f"Masks without a photograph in every folder: {', '.join(names)}.")
    return notes


def _listed(names: Iterable[Name]) -> str:
    return ", ".join(map(str, sorted(names, key=lambda name: name.order)))
