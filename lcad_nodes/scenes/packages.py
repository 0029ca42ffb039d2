"""Pictures out of installed packages, and out of archives that lie there, as lists name them."""

import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

SHARE = Path("/usr/share")

Read = Callable[[str], bytes]
"""Reads a file of an archive; KeyError where it has none of this name."""


class SourceError(OSError):
    """A picture is not where a list says, or cannot be read."""


def read_list(file: Path) -> dict[str, str]:
    """Each picture's name, and where it lies: lines of a name, a space and a source."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return {name: source for name, source in (line.split(" ", 1) for line in lines)}


def read_sources(listed: dict[str, str], locate: Callable[[str], Path]) -> Iterator[bytes]:
    """The files that a list names, in its order.

    Args:
        listed: from `read_list`. A colon in a source separates the path of an archive (Qt
            resources, ZIP or tar) from the path inside of it.
        locate: where a path of the list lies on this machine.

    Raises:
        SourceError: a file is missing, or an archive lacks what is listed.
    """
    archives: dict[Path, Read] = {}
    for source in listed.values():
        path, _, inner = source.partition(":")
        file = locate(path)
        if not file.is_file():
            raise SourceError(f"{file} is missing: install the package that docs/data.md names.")
        if not inner:
            yield file.read_bytes()
            continue
        if file not in archives:
            archives[file] = _open(file)
        try:
            data = archives[file](inner)
        except KeyError:
            message = f"{file} holds no {inner}: it is another version than was listed."
            raise SourceError(message) from None
        yield data


def _open(file: Path) -> Read:
    if file.suffix == ".rcc":
        return dict(resources(file.read_bytes())).__getitem__
    if zipfile.is_zipfile(file):
        return zipfile.ZipFile(file).read
    with tarfile.open(file) as archive:
        members = [member for member in archive if member.isfile()]
        contents = {member.name: archive.extractfile(member) for member in members}
        return {name: data.read() for name, data in contents.items() if data}.__getitem__


def resources(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The uncompressed files of a Qt resource file (.rcc), by their path below "activities".

    Raises:
        SourceError: `data` is not a Qt resource file.
    """
    if data[:4] != b"qres":
        raise SourceError("Not a Qt resource file: it does not begin with 'qres'.")
    version, tree, contents, names = struct.unpack_from(">4I", data, 4)
    node_size = 14 if version == 1 else 22
    pending = [(0, "")]
    while pending:
        index, parent = pending.pop()
        node = tree + index * node_size
        name, flags = struct.unpack_from(">IH", data, node)
        (length,) = struct.unpack_from(">H", data, names + name)
        start = names + name + 6
        path = f"{parent}/{data[start : start + 2 * length].decode('utf-16-be')}"
        if flags & 2:
            count, first = struct.unpack_from(">2I", data, node + 6)
            pending += [(child, path) for child in range(first, first + count)]
        elif not flags & 5:  # neither zlib nor zstd: images are stored as they are
            (offset,) = struct.unpack_from(">I", data, node + 10)
            (size,) = struct.unpack_from(">I", data, contents + offset)
            start = contents + offset + 4
            yield path.partition("/activities/")[2], data[start : start + size]
