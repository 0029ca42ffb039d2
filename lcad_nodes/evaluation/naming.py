"""What files are called after: a photograph, or one of its descriptions."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import TypeVar

from ..files.captions import names_of
from ..files.pictures import files_below

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


def visible_files(folder: Path, others: Iterable[Path], types: Collection[str]) -> list[Path]:
    """The visible files of a folder and its subfolders, as paths below it.

    Args:
        folder: where to look.
        others: folders that may lie inside it: their files are not its own.
        types: the suffixes that count, in small letters.

    Raises:
        CompareError: it is no folder.
    """
    if not folder.is_dir():
        raise CompareError(f"{folder} is not a folder.")
    top = folder.resolve()
    apart = {other for other in (path.resolve() for path in others) if top in other.parents}
    found = (f for f in files_below(top) if f.suffix.lower() in types)
    below = (f.relative_to(top) for f in found if apart.isdisjoint(f.parents))
    return sorted(f for f in below if not any(part.startswith(".") for part in f.parts))


def without_type(path: PurePath) -> str:
    """Write a path with slashes, without its type."""
    return (path.parent / path.stem).as_posix()


def once(folder: Path, names: Mapping[Path, T]) -> dict[T, Path]:
    """A folder's pictures by what they are of.

    Args:
        folder: where they are.
        names: what each is of, by its path below the folder.

    Raises:
        CompareError: two are of the same.
    """
    twice = [str(name) for name, count in Counter(names.values()).items() if count > 1]
    if twice:
        raise CompareError(f"{folder} has more than one picture named {', '.join(twice)}.")
    return {name: folder / file for file, name in names.items()}


def called(photographs: Iterable[str]) -> dict[str, str]:
    """The photographs' paths by all that they are called; a path is nobody else's name."""
    paths = list(photographs)
    by_name = {name: path for path in paths for name in names_of(PurePosixPath(path))}
    return by_name | {path: path for path in paths}


def name_of(key: str, photographs: Mapping[str, str]) -> Name:
    """What a file is of: `a` of the photograph `a`, `a_1` or `a.jpg_1` of its description 1.

    Args:
        key: its path below its folder, without type.
        photographs: their paths by all that they are called; one called `a_1` goes before `a`.
    """
    if key in photographs:
        return Name(photographs[key])
    photograph, _, number = key.rpartition("_")
    if photograph and number.isdecimal():
        for candidate in (photograph, without_type(PurePosixPath(photograph))):
            if candidate in photographs:
                return Name(photographs[candidate], int(number))
    return Name(key)
