"""Collects the photographs for scenes from Debian's packages into one folder of small JPEGs.

`python -m lcad_nodes.scenes.photographs --out runs/photographs`; which ones, and from where,
stands in `photographs.txt`; their licenses in docs/data.md. Those of `more_photographs.txt`, for
`--more`, are for training alone: what is measured with stays the same as training gets more.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from ..files.errors import told_plainly
from ..files.pictures import PictureError, read_picture, shrunk
from .packages import SHARE, SourceError, read_list, read_sources

LIST = Path(__file__).with_name("photographs.txt")
MORE = LIST.with_name("more_photographs.txt")
SHORTER_SIDE = 512
QUALITY = 90

logger = logging.getLogger(__name__)


def collect(listed: dict[str, str], out: Path, share: Path = SHARE) -> int:
    """Write every listed photograph as a small JPEG into `out`; how many there are.

    Args:
        listed: names and sources below `share` (see `packages.read_sources`).
        out: the folder to write.
        share: where packages put their files.

    Raises:
        SourceError: a photograph is missing or unreadable.
    """
    out.mkdir(parents=True, exist_ok=True)
    pictures = read_sources(listed, share.joinpath)
    for name, data in zip(listed, pictures, strict=True):
        try:
            photo = read_picture(data)
        except PictureError as error:
            raise SourceError(f"{listed[name]} is no picture: {error}") from error
        shrunk(photo, SHORTER_SIDE).save(out / f"{name}.jpg", quality=QUALITY)
    return len(listed)


def main(arguments: Sequence[str] | None = None) -> None:
    """Collect the photographs."""
    parser = argparse.ArgumentParser(prog="python -m lcad_nodes.scenes.photographs")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--more", action="store_true", help="those that are for training alone")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    listed = read_list(MORE if options.more else LIST)
    with told_plainly():
        count = collect(listed, options.out)
    logger.info("%d photographs in %s", count, options.out)


if __name__ == "__main__":
    main()
