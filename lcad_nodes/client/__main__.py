"""`demo`, `colorize` and `serve`, as quickstart.py runs them once all is set up."""

import argparse
import logging
import signal
import sys
import warnings
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path

from PIL import Image

from .arguments import parse
from .colorize import colorize_many, colorize_one, with_checkpoint
from .demo import demo, show
from .jobs import Job, TableError, default_out, in_folder, in_table
from .photos import PhotoError
from .serve import serve
from .server import ROOT, ServerError, WorkflowError
from .workflow import Settings

logger = logging.getLogger("lcad_nodes.client")


def main(arguments: Sequence[str]) -> int:
    """Run a command. Returns the exit status: 0, or another with the reason in the log."""
    known = parse(arguments)
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large scans are welcome
    comfyui = known.comfyui or ROOT / ".comfyui"
    for name in {"SIGTERM", "SIGHUP"} & set(dir(signal)):
        number = getattr(signal, name)
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it, to go on
            signal.signal(number, signal.default_int_handler)
    try:
        if known.name == "demo":
            sheet = demo(comfyui, ROOT / "demo", cpu=known.cpu)
            logger.info("\nBefore and after: %s", sheet)
            show(sheet.as_uri())
            return 0
        if known.name == "serve":
            serve(comfyui, ROOT / "my-comfyui", known.port, cpu=known.cpu)
        return _colorize(known, comfyui)
    except (ServerError, WorkflowError, PhotoError, TableError, OSError) as error:
        logger.error("\n%s", error)
        return 1
    except KeyboardInterrupt:
        goes_on = "; for a folder, the same command goes on from there" * (known.name == "colorize")
        logger.info("\nStopped%s.", goes_on)
        return 130


def _colorize(known: argparse.Namespace, comfyui: Path) -> int:
    settings = Settings(
        seed=known.seed,
        steps=known.steps,
        cfg=known.cfg,
        resolution=known.resolution,
        tile_size=known.tile_size,
    )
    settings = with_checkpoint(settings, known.checkpoint)
    photo, text, out = known.photo, known.text, known.out
    if not photo.is_dir():
        job = Job(photo, text, out or default_out(photo))
        colorize_one(
            job, known.phrase, known.mask, comfyui, settings, known.checkpoint, cpu=known.cpu
        )
        return 0
    if text.lower().endswith(".csv"):
        jobs = in_table(Path(text), photo, out)
    else:
        jobs = in_folder(photo, text, out)
    return bool(colorize_many(jobs, comfyui, settings, known.checkpoint, cpu=known.cpu))


if __name__ == "__main__":
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
    sys.exit(main(sys.argv[1:]))
