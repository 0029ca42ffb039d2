"""Collects rendered things, cut out and named, into one folder of stamps for scenes.

`python -m lcad_nodes.scenes.renderings --emoji FILE --out runs/renderings`; which ones, and
from where, stands in `renderings.txt`; their licenses in docs/data.md.
"""

import argparse
import io
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ..files.errors import told_plainly
from ..files.formats import DECODERS
from ..files.pictures import BROKEN
from .packages import SHARE, SourceError, read_list, read_sources

LIST = Path(__file__).with_name("renderings.txt")
EMOJI = "fluent-emoji-3d"
"""What the list calls the archive of emoji, which is no Debian package."""

logger = logging.getLogger(__name__)


def collect(listed: dict[str, str], emoji: Path, out: Path, share: Path = SHARE) -> int:
    """Write every listed thing as a stamp into `out`, a PNG and its caption; how many there are.

    Args:
        listed: names (what the thing is, and its number) and sources below `share` or in the
            archive of emoji (see `packages.read_sources`).
        emoji: that archive.
        out: the folder to write; `cutouts.read_cutouts` reads it.
        share: where packages put their files.

    Raises:
        SourceError: a picture is missing or unreadable.
    """
    out.mkdir(parents=True, exist_ok=True)
    pictures = read_sources(listed, lambda path: emoji if path == EMOJI else share / path)
    for name, data in zip(listed, pictures, strict=True):
        _cut_out(data, listed[name]).save(out / f"{name}.png")
        thing = re.sub(r"-\d+$", "", name).replace("-", " ")
        (out / f"{name}.txt").write_text(f"The {thing}.\n", encoding="utf-8")
    return len(listed)


def _cut_out(data: bytes, source: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=DECODERS).convert("RGBA")
    except (*BROKEN, Image.DecompressionBombError) as error:
        raise SourceError(f"{source} is no picture: {error}") from error


def main(arguments: Sequence[str] | None = None) -> None:
    """Collect the rendered things."""
    parser = argparse.ArgumentParser(prog="python -m lcad_nodes.scenes.renderings")
    parser.add_argument("--emoji", type=Path, required=True, help="the archive of Fluent emoji")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with told_plainly():
        count = collect(read_list(LIST), options.emoji, options.out)
    logger.info("%d rendered things in %s", count, options.out)


if __name__ == "__main__":
    main()
