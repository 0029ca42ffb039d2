"""Train one stage, or make a checkpoint small enough to ship.

python -m lcad_nodes.training compression CONFIG.toml
python -m lcad_nodes.training diffusion CONFIG.toml
python -m lcad_nodes.training export CHECKPOINT OUT --resolution 128
"""

import argparse
import logging
from pathlib import Path

import torch
from safetensors.torch import load_file

from . import compression, diffusion
from .checkpoints import save_checkpoint
from .config import CompressionConfig, DiffusionConfig, load_config


def export(checkpoint: Path, out: Path, resolution: int) -> Path:
    """Write a checkpoint in half precision, as it is shipped, with what it was trained at in px."""
    tensors = {name: tensor.to(torch.float16) for name, tensor in load_file(checkpoint).items()}
    save_checkpoint(tensors, out, resolution)
    return out


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m lcad_nodes.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for stage in ("compression", "diffusion"):
        train = commands.add_parser(stage)
        train.add_argument(
            "config", type=Path, help="a TOML file as in lcad_nodes/training/configs"
        )
    ship = commands.add_parser("export")
    ship.add_argument("checkpoint", type=Path)
    ship.add_argument("out", type=Path)
    ship.add_argument(
        "--resolution",
        type=int,
        required=True,
        help="side of the scenes that it was trained on, in px; nodes work at it by default",
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("accelerate").setLevel(logging.WARNING)  # it names every file of a state
    if arguments.command == "compression":
        path = compression.train(load_config(CompressionConfig, arguments.config))
    elif arguments.command == "diffusion":
        path = diffusion.train(load_config(DiffusionConfig, arguments.config))
    else:
        path = export(arguments.checkpoint, arguments.out, arguments.resolution)
    logging.getLogger(__name__).info("wrote %s", path)


if __name__ == "__main__":
    main()
