"""`python -m lcad_nodes.scenes --stamps DIR --photos DIR --out sheet.png` shows some scenes."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from ..files.errors import told_plainly
from .builder import SceneBuilder, contact_sheet

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a contact sheet of scenes."""
    parser = argparse.ArgumentParser(prog="python -m lcad_nodes.scenes")
    parser.add_argument("--stamps", type=Path, nargs="+", required=True, help="folders of cut-outs")
    parser.add_argument("--photos", type=Path, nargs="*", default=[], help="photographs or folders")
    parser.add_argument("--people", type=Path, nargs="*", default=[], help="folders of people")
    parser.add_argument("--out", type=Path, required=True, help="the PNG to write")
    parser.add_argument("--size", type=int, default=256, help="side of a scene in pixels")
    parser.add_argument("--count", type=int, default=40, help="number of scenes")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first scene")
    parser.add_argument("--split", choices=["train", "held_out"], default="train")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with told_plainly():
        options.out.parent.mkdir(parents=True, exist_ok=True)
        builder = SceneBuilder(
            options.stamps, options.photos, options.size, options.split, options.people
        )
        scenes = [builder.build(options.seed + index) for index in range(options.count)]
    contact_sheet(scenes, columns=8).save(options.out)
    logger.info("%d scenes in %s", len(scenes), options.out)


if __name__ == "__main__":
    main()
