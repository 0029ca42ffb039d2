"""Which photographs, results, descriptions and masks belong together."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..files.formats import READABLE
from .descriptions import Descriptions
from .naming import CompareError, Name, called, name_of, once, visible_files, without_type

TRUTH = "truth"
ADDED = ".color"
"""What `quickstart.py colorize` adds to a photo's name."""


@dataclass(frozen=True)
class Files:
    """What is compared, and with what.

    Attributes:
        folders: one of results a method.
        truth: the photographs in color.
        captions: descriptions by file name (see `Descriptions`, as of the others).
        phrases: lists of phrases by file name, one phrase for each mask.
        masks: folder of `NAME.0.png`, `NAME.1.png` and so on, in the order of the phrases.
    """

    folders: Sequence[Path]
    truth: Path
    captions: Path | None = None
    phrases: Path | None = None
    masks: Path | None = None

    @property
    def all_folders(self) -> tuple[Path, ...]:
        """Every folder that was given."""
        return (*self.folders, self.truth, *filter(None, [self.masks]))


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


def match(files: Files) -> tuple[list[Request], list[str]]:
    """Bring together what belongs together.

    A file's name is its path below its folder, without type and without the `.color` of
    `quickstart.py colorize`; hidden files do not count. A result `a_1` or `a.jpg_1` is of the
    photograph `a` and its description number 1, unless there is a photograph of that name; a result
    `a` is of its description of the lowest number.

    Returns:
        What all methods have results of, sorted by name; and a sentence for everything that
        is missing.

    Raises:
        CompareError: folders have one name or no pictures, two files of a folder have one name,
            nothing is in all folders, or what is given is not enough to use the rest.
        CaptionsError: captions or phrases are in no known format.
    """
    methods = _methods(files.folders)
    truth = _truth(files)
    results = {method: _results(folder, files, truth) for method, folder in methods.items()}
    common = _common(truth, results, files.truth)
    folders = files.all_folders
    descriptions = Descriptions(truth, files.captions, files.phrases, files.masks, folders)
    requests = [
        Request(
            name,
            truth[name.photograph],
            {method: found[name] for method, found in results.items()},
            *descriptions.of(name),
        )
        for name in common
    ]
    return requests, [*_missing(truth, results), *_lacking(requests, files)]


def _methods(folders: Sequence[Path]) -> dict[str, Path]:
    """The folders by the names that the methods go by."""
    names = Counter(folder.resolve().name for folder in folders)
    twice = [name for name, count in names.items() if count > 1 or name == TRUTH]
    if twice:
        raise CompareError(
            f"Methods go by their folders' names, and {', '.join(twice)} is taken: rename it."
        )
    return {folder.resolve().name: folder for folder in folders}


def _truth(files: Files) -> dict[str, Path]:
    """The photographs; what `quickstart.py colorize` put beside them is none."""
    pictures = _pictures(files.truth, files)
    return once(files.truth, {f: without_type(f) for f in pictures if not f.stem.endswith(ADDED)})


def _results(folder: Path, files: Files, truth: Collection[str]) -> dict[Name, Path]:
    """A method's pictures; beside photographs, those that `quickstart.py colorize` put there."""
    pictures = _pictures(folder, files)
    added = [file for file in pictures if file.stem.endswith(ADDED)]
    names = called(truth)
    return once(
        folder,
        {f: name_of(without_type(f).removesuffix(ADDED), names) for f in added or pictures},
    )


def _pictures(folder: Path, files: Files) -> list[Path]:
    found = visible_files(folder, files.all_folders, READABLE)
    if not found:
        raise CompareError(f"{folder} holds no pictures ({', '.join(sorted(READABLE))}).")
    return found


def _common(
    truth: Collection[str], results: Mapping[str, Collection[Name]], folder: Path
) -> list[Name]:
    """What every method has of the photographs."""
    everywhere = set.intersection(*map(set, results.values()))
    common = sorted((name for name in everywhere if name.photograph in truth), key=str)
    if not common:
        raise CompareError(
            f"No photograph of {folder} has a result in every folder. Results are numbered by "
            "description, as a_0, in all folders or in none."
        )
    return common


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


def _lacking(requests: Sequence[Request], files: Files) -> list[str]:
    """Name what has no description or masks."""
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
    return notes


def _listed(names: Iterable[Name]) -> str:
    return ", ".join(sorted(map(str, names)))
