"""Measure a model, take it apart, colorize a set as published, or compare methods.

python -m lcad_nodes.evaluation mini
python -m lcad_nodes.evaluation ablations
python -m lcad_nodes.evaluation colorize --checkpoint FILE --photos DIR --captions FILE --out DIR
python -m lcad_nodes.evaluation compare DIR [DIR ...] --truth DIR
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from ..files.digests import digest_of
from ..files.errors import told_plainly
from .comfyui import use_comfyui

if TYPE_CHECKING:  # it needs ComfyUI, which `use_comfyui` finds
    from .colorizer import Colorizer

WEIGHTS = Path(__file__).parents[1] / "weights" / "lcad-mini.safetensors"
STAMPS = Path("/usr/share/tuxpaint/stamps")
PHOTOS = Path("runs/photographs")


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    commands = {"mini": _mini, "ablations": _ablations, "colorize": _colorize, "compare": _compare}
    command = commands[options.command]
    with told_plainly():
        report = command(options)
    if isinstance(sys.stdout, TextIOWrapper):  # on Windows, a file's own encoding has no arrows
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.stdout.write(f"{report}\n")


def _mini(options: argparse.Namespace) -> str:
    use_comfyui()
    from .mini import measure, write
    from .report import make_folder

    make_folder(options.out)  # before what takes long
    colorizer = _colorizer(options, options.checkpoint)
    results = measure(
        colorizer,
        options.stamps,
        options.photos,
        options.scenes,
        options.kinds,
        options.people,
    )
    return write(results, options.out)


def _ablations(options: argparse.Namespace) -> str:
    use_comfyui()
    from .ablations import measure, write
    from .report import make_folder

    make_folder(options.out)
    colorizer = _colorizer(options, options.checkpoint)
    plain = _colorizer(options, options.plain_l1) if options.plain_l1 else None
    results = measure(colorizer, plain, options.stamps, options.photos, options.scenes)
    return write(results, options.out)


def _colorize(options: argparse.Namespace) -> str:
    use_comfyui()
    from .colorizer import Colorizer
    from .results import Published, colorize, list_wanted, objects_digest

    file, size, steps, cfg = options.checkpoint, options.size, options.steps, options.cfg
    wanted = list_wanted(  # before what takes long
        options.photos,
        options.out,
        options.captions,
        options.phrases,
        options.masks,
        first=options.first,
    )
    colorizer = Colorizer.load(file, 0 if size else -1, steps, cfg)
    how = Published(
        checkpoint=digest_of(file),
        captions=digest_of(options.captions),
        size=size,
        steps=steps,
        cfg=cfg,
        lightness=options.lightness,
        seed=options.seed,
        first=options.first,
        objects=objects_digest(wanted),
        strength=options.strength,
        mode=options.mode,
        reduction=options.reduction,
    )
    return colorize(colorizer, wanted, options.out, how)


def _compare(options: argparse.Namespace) -> str:
    # Backbones come from the disk or not at all; the Hub's client reads this as it is imported.
    os.environ["HF_HUB_OFFLINE"] = "1"
    from .compare import compare
    from .matching import Files
    from .metrics import load_backbones
    from .report import make_folder

    make_folder(options.out)
    files = Files(options.folders, options.truth, options.captions, options.phrases, options.masks)
    return compare(files, load_backbones(options.clip), options.size).write(options.out)


def _colorizer(options: argparse.Namespace, checkpoint: Path) -> "Colorizer":
    from .colorizer import Colorizer

    return Colorizer.load(checkpoint, options.resolution, options.steps, options.cfg)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lcad_nodes.evaluation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    mini = commands.add_parser("mini", help="the targets of a model, on scenes never trained on")
    _model_options(mini, scenes=200, steps=20, out=Path("runs/mini-targets"))
    mini.add_argument(
        "--kinds", nargs="+", default=[], help="measure these rows alone, such as one or several"
    )
    mini.add_argument(
        "--people", type=Path, nargs="*", default=[], help="folders of people, to measure them too"
    )
    ablations = commands.add_parser("ablations", help="what each part of the method is worth")
    # There are many variations: on two cores, this takes about half an hour.
    _model_options(ablations, scenes=40, steps=10, out=Path("runs/ablations"))
    ablations.add_argument(
        "--plain-l1", type=Path, help="a checkpoint trained with plain L1, not the artifact map"
    )
    _colorize_options(commands.add_parser("colorize", help="a set with the published sampler"))
    _compare_options(commands.add_parser("compare", help="folders of results, side by side"))
    return parser


def _colorize_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", type=Path, required=True, help="the model")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    parser.add_argument(
        "--captions", type=Path, required=True, help="JSON: descriptions by file name"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to fill, or to go on in")
    parser.add_argument(
        "--size", type=_count, default=256, help="scale to so many px a side; 0: keep the shape"
    )
    parser.add_argument("--steps", type=_positive, default=50, help="sampling steps")
    parser.add_argument("--cfg", type=float, default=7.0, help="guidance scale")
    parser.add_argument("--lightness", choices=["decoder", "input"], default="decoder")
    parser.add_argument("--seed", type=_count, default=0, help="of the start noise")
    parser.add_argument(
        "--first", action="store_true", help="only the first description of every photograph"
    )
    _object_options(parser)
    parser.add_argument(
        "--strength", type=float, default=3.0, help="of guidance, where there are masks"
    )
    parser.add_argument("--mode", choices=["reference", "fast"], default="reference")
    parser.add_argument("--reduction", choices=["sum", "mean"], default="sum")


def _compare_options(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Pictures belong together by their paths below their folders, without type: 1950/scan.jpg, "
        "1950/scan.png and 1950/scan.color.jpg. Where a photograph scan has several descriptions, "
        "scan_0.png, scan_1.png and so on are its results. A folder inside another one that is "
        "given too, such as one of results inside --truth, is no part of that."
    )
    add = parser.add_argument
    add("folders", type=Path, nargs="+", help="one folder of results a method")
    add("--truth", type=Path, required=True, help="the photographs in color")
    add(
        "--size",
        type=_positive,
        metavar="N",
        help="scale everything to N x N px first, as the literature does to 256 (default: results "
        "to the size of their truth)",
    )
    add("--captions", type=Path, help="JSON: descriptions by file name")
    _object_options(parser)
    clip = "openai/clip-vit-base-patch16"
    add("--clip", default=clip, help="name or folder of the CLIP model (default: %(default)s)")
    add("--out", type=Path, default=Path("runs/comparison"), help="folder to fill")


def _object_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--masks", type=Path, help="folder of NAME.0.png, NAME.1.png, ...: one for each phrase"
    )
    parser.add_argument(
        "--phrases",
        type=Path,
        help="JSON: lists of phrases by file name, one phrase for each mask (default: the "
        "comma-separated parts of the description)",
    )


def _positive(text: str) -> int:
    return _at_least(1, text)


def _count(text: str) -> int:
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    number = int(text)
    if number < least:
        raise argparse.ArgumentTypeError(f"{text} is less than {least}")
    return number


def _model_options(parser: argparse.ArgumentParser, scenes: int, steps: int, out: Path) -> None:
    parser.add_argument("--checkpoint", type=Path, default=WEIGHTS, help="the model to measure")
    parser.add_argument("--scenes", type=_positive, default=scenes, help="scenes a row")
    parser.add_argument("--out", type=Path, default=out, help="folder to fill")
    parser.add_argument(
        "--stamps", type=Path, nargs="+", default=[STAMPS], help="folders of cut-outs"
    )
    parser.add_argument(
        "--photos", type=Path, nargs="+", default=[PHOTOS], help="photographs or folders of them"
    )
    parser.add_argument(
        "--resolution", type=int, default=-1, help="working size in px; -1: the checkpoint's"
    )
    parser.add_argument("--steps", type=_positive, default=steps, help="sampling steps")
    parser.add_argument("--cfg", type=float, default=3.0, help="guidance scale")


if __name__ == "__main__":
    main()
