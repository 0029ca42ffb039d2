"""Which photographs, results, descriptions and masks belong together."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..files.captions import numbered_captions
from ..files.formats import READABLE
from .naming import CompareError, Name, Objects, Said, called, name_of, visible_files, without_type

TRUTH = "truth"
ADDED = ".color"
"""What `quickstart.py colorize` adds to a photo's name."""

K = TypeVar("K")


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

    @property
    def all_folders(self) -> tuple[Path, ...]:
        """Every folder that was given."""
        return (*self.folders, self.truth, *filter(None, [self.masks]))


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


def match(files: Files) -> tuple[list[Request], list[str]]:
    """Bring together what belongs together.

    A file's name is its path below its folder, without type and without the `.color` of
    `quickstart.py colorize`; hidden files do not count. A result `a_1` or `a.jpg_1` is of the
    photograph `a` and its description number 1, unless there is a photograph of that name; a result
    `a` is of its description of the lowest number.

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
    names = called(truth)
    results = {
        method: _results(folder, _pictures(folder, files, truth=False), names)
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
    texts = Said(files.captions, captions, truth)
    objects = Objects(files.masks, files.phrases, truth, *files.folders, files.truth)
    requests = []
    for name in common:
        text = texts.of(name)
        made = {method: found[name] for method, found in results.items()}
        named, marked = objects.of(texts.numbered(name), text)
        requests.append(Request(name, truth[name.photograph], made, text, named, marked))
    strange = objects.photographs - {name.photograph for name in common}
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
    found = [
        file for file in visible_files(folder, files.all_folders) if file.suffix.lower() in READABLE
    ]
    results = [file for file in found if file.stem.endswith(ADDED)]
    plain = [file for file in found if not file.stem.endswith(ADDED)]
    chosen = plain if truth or not results else results
    if not chosen:
        raise CompareError(f"{folder} holds no pictures ({', '.join(sorted(READABLE))}).")
    return _once(
        folder, [(without_type(file).removesuffix(ADDED), folder / file) for file in chosen]
    )


def _results(folder: Path, pictures: Mapping[str, Path], truth: Mapping[str, str]) -> Results:
    return _once(folder, [(name_of(key, truth), file) for key, file in pictures.items()])


def _are_mixed(results: Mapping[str, Results]) -> bool:
    """Whether results are of the same photographs, but for the numbers of descriptions."""
    photographs = [{name.photograph for name in found} for found in results.values()]
    return bool(set.intersection(*photographs))


def _once(folder: Path, named: Sequence[tuple[K, Path]]) -> dict[K, Path]:
    """Files by their names, of which there must be one each."""
    twice = [str(name) for name, count in Counter(name for name, _ in named).items() if count > 1]
    if twice:
        raise CompareError(f"{folder} has more than one picture named {', '.join(twice)}.")
    return dict(named)


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
