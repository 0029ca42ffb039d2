"""Collects the photographs for scenes from Debian's packages into one folder of small JPEGs.

`python -m lcad_nodes.evaluation.photographs --out runs/photographs`; which ones, and from where,
stands in `photographs.txt`; their licenses in docs/data.md.
"""

import argparse
import io
import logging
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

SHARE = Path("/usr/share")
LIST = Path(__file__).with_name("photographs.txt")
SHORTER_SIDE = 512
QUALITY = 90

logger = logging.getLogger(__name__)


class SourceError(OSError):
    """A photograph is not where the list says, or cannot be read."""


def sources() -> dict[str, str]:
    """Each photograph's name, and where it lies below /usr/share.

    A colon separates the path of a Qt resource file from the path inside of it.
    """
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return {name: source for name, source in (line.split(" ", 1) for line in lines)}


def collect(out: Path, share: Path = SHARE) -> int:
    """Write every listed photograph as a small JPEG into `out`; how many there are.

    Raises:
        SourceError: a photograph is missing or unreadable.
    """
    out.mkdir(parents=True, exist_ok=True)
    bundles: dict[Path, dict[str, bytes]] = {}
    listed = sources()
    for name, source in listed.items():
        path, _, inner = source.partition(":")
        file = share / path
        if not file.is_file():
            raise SourceError(
                f"{file} is missing: install the Debian package that docs/data.md names."
            )
        if inner and file not in bundles:
            bundles[file] = dict(resources(file.read_bytes()))
        if inner and inner not in bundles[file]:
            raise SourceError(f"{file} holds no {inner}: it is another version than was listed.")
        data = bundles[file][inner] if inner else file.read_bytes()
        _shrink(data).save(out / f"{name}.jpg", quality=QUALITY)
    return len(listed)


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


def _shrink(encoded: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(encoded)).convert("RGB")
    scale = min(1.0, SHORTER_SIDE / min(image.size))
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Collect the photographs."""
    parser = argparse.ArgumentParser(prog="python -m lcad_nodes.evaluation.photographs")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logger.info("%d photographs in %s", collect(options.out), options.out)


if __name__ == "__main__":
    main()
