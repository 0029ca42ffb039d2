"""Train one stage, validate or average checkpoints, or make one small enough to ship.

python -m lcad_nodes.training compression CONFIG.toml
python -m lcad_nodes.training diffusion CONFIG.toml
python -m lcad_nodes.training validate CONFIG.toml CHECKPOINT [CHECKPOINT ...]
python -m lcad_nodes.training average CHECKPOINT [CHECKPOINT ...] --out OUT --resolution 128
python -m lcad_nodes.training export CHECKPOINT OUT --resolution 128 [--autoencoder CHECKPOINT]
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ..files.errors import told_plainly
from ..model.checkpoint import LayoutError, join, split
from . import compression, diffusion
from .checkpoints import read_tensors, save_checkpoint
from .config import CompressionConfig, DiffusionConfig, load_config
from .validation import validate

logger = logging.getLogger(__name__)


def export(checkpoint: Path, out: Path, resolution: int, autoencoder: Path | None) -> Path:
    """Write a checkpoint's networks in half precision, as they are shipped.

    What else a file of a training run holds, such as averages beside the weights, is left out.

    Args:
        checkpoint: what to write.
        out: the file to write.
        resolution: side of the scenes that it was trained on, in px.
        autoencoder: another checkpoint, to take the autoencoder and luminance encoder from: one
            whose decoder was trained on while the UNet of this one was.

    Raises:
        LayoutError: if a file cannot be read, or `autoencoder` has none.
    """
    parts = split(read_tensors(checkpoint))
    if autoencoder is not None:
        other = split(read_tensors(autoencoder))
        if not (other.vae and other.encoder):
            raise LayoutError(f"{autoencoder} holds no autoencoder with a luminance encoder")
        parts = replace(parts, vae=other.vae, encoder=other.encoder)
    halves = {n: t.half() if t.is_floating_point() else t for n, t in join(parts).items()}
    save_checkpoint(halves, out, resolution)
    return out


def average(checkpoints: Sequence[Path], out: Path, resolution: int) -> Path:
    """Write the mean of checkpoints of one network, trained on from one another.

    What a later phase has learned and what it has forgotten meet halfway (Wortsman et al., Model
    soups, 2022).

    Raises:
        LayoutError: if one cannot be read, or they do not hold the same tensors.
    """
    files = [read_tensors(checkpoint) for checkpoint in checkpoints]
    shapes = [{name: tensor.shape for name, tensor in file.items()} for file in files]
    for checkpoint, found in zip(checkpoints, shapes, strict=True):
        if found != shapes[0]:
            raise LayoutError(f"{checkpoint} holds other tensors than {checkpoints[0]}")
    mean = {n: torch.stack([file[n].float() for file in files]).mean(dim=0) for n in files[0]}
    save_checkpoint(mean, out, resolution)
    return out


def report(config: Path, checkpoints: Sequence[Path], pictures: int) -> None:
    """Log the error of each checkpoint as soon as it is known; see `validation.validate`."""
    errors = validate(load_config(DiffusionConfig, config), checkpoints, pictures)
    for checkpoint, figures in zip(checkpoints, errors, strict=True):
        logger.info("%s: %s", checkpoint, ", ".join(f"{n} {v:.4f}" for n, v in figures.items()))


def main() -> None:
    """Do what the command line says."""
    given = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("accelerate").setLevel(logging.WARNING)  # it names every file of a state
    with told_plainly():
        _run(given)


def _run(given: argparse.Namespace) -> None:
    if given.command == "validate":
        report(given.config, given.checkpoints, given.pictures)
        return
    if given.command == "compression":
        path = compression.train(load_config(CompressionConfig, given.config))
    elif given.command == "diffusion":
        path = diffusion.train(load_config(DiffusionConfig, given.config))
    elif given.command == "average":
        path = average(given.checkpoints, given.out, given.resolution)
    else:
        path = export(given.checkpoint, given.out, given.resolution, given.autoencoder)
    logger.info("wrote %s", path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lcad_nodes.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    compress, diffuse, check = map(commands.add_parser, ("compression", "diffusion", "validate"))
    for command in (compress, diffuse, check):
        command.add_argument(
            "config", type=Path, help="a TOML file as in lcad_nodes/training/configs"
        )
    mix = commands.add_parser("average")
    for command in (check, mix):
        command.add_argument("checkpoints", type=Path, nargs="+")
    check.add_argument("--pictures", type=int, default=192, help="held-out pictures to measure on")
    mix.add_argument("--out", type=Path, required=True)
    ship = commands.add_parser("export")
    ship.add_argument("checkpoint", type=Path)
    ship.add_argument("out", type=Path)
    ship.add_argument("--autoencoder", type=Path, help="the checkpoint to take stage 1 from")
    for command in (mix, ship):
        command.add_argument(
            "--resolution",
            type=int,
            required=True,
            help="side of the scenes that it was trained on, in px; nodes work at it by default",
        )
    return parser


if __name__ == "__main__":
    main()
