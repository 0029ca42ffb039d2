"""Pictures out of installed packages, and out of archives that lie there, as lists name them."""

import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Container, Iterator
from pathlib import Path

SHARE = Path("/usr/share")

LARGEST = 64 * 2**20
"""Bytes of a picture; an archive of a few KB can hold what claims to be any size."""
BROKEN = (
    *(OSError, EOFError, ValueError, IndexError, RuntimeError, struct.error, zlib.error),
    *(tarfile.TarError, zipfile.BadZipFile),
)
"""What an archive that is cut short, or is none, is noticed by."""


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
        SourceError: a file is missing, or an archive is none or lacks what is listed.
    """
    archives: dict[Path, dict[str, bytes]] = {}
    wanted = {source.partition(":")[2] for source in listed.values()}
    for source in listed.values():
        path, _, inner = source.partition(":")
        file = locate(path)
        if not file.is_file():
            raise SourceError(f"{file} is missing: install the package that docs/data.md names.")
        if not inner:
            yield file.read_bytes()
            continue
        if file not in archives:
            try:
                archives[file] = dict(_read(file, wanted))
            except BROKEN as error:
                raise SourceError(
                    f"{file} is cut short, or is no archive (Qt resources, ZIP or tar)."
                ) from error
        if inner not in archives[file]:
            raise SourceError(
                f"{file} holds no {inner}, or one above {LARGEST // 2**20} MiB: it is another "
                "version than was listed."
            )
        yield archives[file][inner]


def _read(file: Path, wanted: Container[str]) -> Iterator[tuple[str, bytes]]:
    """What is wanted of an archive, in its own order: going back in a packed one takes long."""
    if file.suffix == ".rcc":
        yield from (entry for entry in resources(file.read_bytes()) if entry[0] in wanted)
    elif zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                if info.filename in wanted and info.file_size <= LARGEST:
                    yield info.filename, archive.read(info)
    else:
        with tarfile.open(file) as archive:
            for member in filter(tarfile.TarInfo.isreg, archive):
                data = archive.extractfile(member) if member.name in wanted else None
                if data and not member.issparse() and member.size <= LARGEST:
                    yield member.name, data.read()


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
