"""`python -m lcad_nodes.training compression|diffusion CONFIG.toml`."""

import argparse
import logging
from pathlib import Path

from . import compression, diffusion
from .config import CompressionConfig, DiffusionConfig, load_config


def main() -> None:
    """Train one stage as its configuration file says."""
    parser = argparse.ArgumentParser(prog="python -m lcad_nodes.training", description=__doc__)
    parser.add_argument("stage", choices=("compression", "diffusion"))
    parser.add_argument("config", type=Path, help="a TOML file; see lcad_nodes/training/configs")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if arguments.stage == "compression":
        path = compression.train(load_config(CompressionConfig, arguments.config))
    else:
        path = diffusion.train(load_config(DiffusionConfig, arguments.config))
    logging.getLogger(__name__).info("wrote %s", path)


if __name__ == "__main__":
    main()
