"""The command line. Standard library alone: it is checked before anything is set up."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ..files.formats import READABLE, WRITABLE
from .workflow import Settings

DEFAULTS = Settings()
COMMAS = "[,\u060c\u3001\uff0c]"
"""Where a description is parted into phrases, as 'Describe Objects (L-CAD)' does it."""
SMALLEST_TILE = 64
"""In pixels: of smaller ones there are so many that they take hours."""
SHOWN = "default: %(default)s"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read `demo`, `colorize` or `serve` with their options. Exits where they are wrong."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--comfyui",
        metavar="DIR",
        type=lambda name: _path(name).resolve(),
        help="the ComfyUI to use, which is only read (default: COMFYUI_DIR, else .comfyui/)",
    )
    shared.add_argument("--cpu", action="store_true", help="do not use a GPU")
    parser = argparse.ArgumentParser(prog=Path(sys.argv[0]).name)
    commands = parser.add_subparsers(dest="name", required=True)
    commands.add_parser("demo", parents=[shared], help="colorize the example photos")
    serve = commands.add_parser("serve", parents=[shared], help="open ComfyUI in the browser")
    serve.add_argument("--port", type=_number(1, 65535), default=8188, help=SHOWN)
    _add_colorize(commands.add_parser("colorize", parents=[shared], help="colorize photos"))
    known = _known(parser, arguments)
    if known.name == "colorize" and (problem := _problem(known)):
        parser.error(problem)
    return known


def _known(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """What a parser reads, and the words behind an option, which argparse leaves over."""
    known, rest = parser.parse_known_args(arguments)
    is_colorize = known.name == "colorize"
    if is_colorize and not known.text and len(rest) == 1 and not rest[0].startswith("-"):
        known.text = rest.pop()
    if rest:
        advice = ". Put words in quotes, and give a folder for many photos" * is_colorize
        parser.error(f"unrecognized arguments: {' '.join(rest)}{advice}")
    return known


def _path(text: str) -> Path:
    """Reads a path, but no empty one, as scripts give by mistake: it would be this folder."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty: name a file or a folder")
    return Path(text)


def _number(least: float, most: float, *others: float) -> Callable[[str], float]:
    """Reads a number of a range, a whole one if `least` is, or one of some others."""
    kind = "whole number" if isinstance(least, int) else "number"
    wanted = " or ".join([*map(str, others), f"a {kind} from {least} to {most}"])

    def read(text: str) -> float:
        with suppress(ValueError):
            if least <= (number := type(least)(text)) <= most or number in others:
                return number
        raise argparse.ArgumentTypeError(f"{text!r}: give {wanted}")

    return read


def _add_colorize(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Colorizes a photo, or every photo of a folder. A table for a folder is a CSV file with "
        "the columns file, text and, if wanted, out; what is finished is not made again."
    )
    parser.add_argument("photo", type=_path, metavar="PHOTO", help="a photo, or a folder of them")
    parser.add_argument(
        "text",
        nargs="?",
        default="",
        metavar="WORDS",
        help="what has which color; for a folder, a table.csv too (default: the model chooses)",
    )
    parser.add_argument(
        "--phrase",
        action="append",
        default=[],
        help="words of the description that the next --mask belongs to; repeat for each",
    )
    parser.add_argument(
        "--mask",
        action="append",
        type=_path,
        default=[],
        help="a picture of the photo's size, white where the phrase's object is, or transparent "
        "there, as ComfyUI's mask editor saves it; repeat for each phrase",
    )
    parser.add_argument(
        "-o",
        dest="out",
        type=_path,
        help="the file, or for a folder the folder, to write (default: PHOTO.color.SUFFIX)",
    )
    parser.add_argument(
        "--seed",
        type=_number(0, 2**64 - 1),
        default=DEFAULTS.seed,
        help=f"another number gives other colors ({SHOWN})",
    )
    parser.add_argument("--steps", type=_number(1, 1000), default=DEFAULTS.steps, help=SHOWN)
    parser.add_argument("--cfg", type=_number(1.0, 100.0), default=DEFAULTS.cfg, help=SHOWN)
    parser.add_argument(
        "--resolution",
        type=_number(-1, 16384),
        default=DEFAULTS.resolution,
        help="shorter side in pixels that colors are made at (default: what suits the model)",
    )
    parser.add_argument(
        "--tile-size",
        type=_number(SMALLEST_TILE, 4096, 0),
        default=DEFAULTS.tile_size,
        help="decode in pieces of so many pixels, where memory is short (default: 0, in one)",
    )
    parser.add_argument(
        "--checkpoint", type=_path, help=f"a model file (default: {DEFAULTS.checkpoint})"
    )


def _problem(known: argparse.Namespace) -> str | None:
    """What is wrong with the words of `colorize`, if anything."""
    for path in (known.photo, *known.mask, *filter(None, [known.checkpoint])):
        if not path.exists():
            return f"there is no file {path}"
    if known.checkpoint and known.checkpoint.is_dir():
        return f"--checkpoint {known.checkpoint} is a folder: name the model file in it"
    if known.photo.is_dir():
        return _problem_of_folder(known)
    if problem := _problem_of_files(known.photo, known.text, known.out):
        return problem
    if known.mask and not known.phrase:
        known.phrase = [part.strip() for part in re.split(COMMAS, known.text) if part.strip()]
    if len(known.phrase) != len(known.mask):
        return (
            f"{len(known.phrase)} phrase(s) and {len(known.mask)} mask(s): give one --mask for "
            "each --phrase, in the same order"
        )
    missing = [phrase for phrase in known.phrase if not is_said(phrase, known.text)]
    return f"the phrase {missing[0]!r} is not in the text {known.text!r}" if missing else None


def _problem_of_folder(known: argparse.Namespace) -> str | None:
    text, out = known.text, known.out
    if known.mask or known.phrase:
        return "--phrase and --mask are for a single photo, and PHOTO is a folder"
    is_table = text.lower().endswith(".csv")
    if is_table and not Path(text).is_file():
        return f"there is no table {text}"
    if not is_table and _is_file(text):
        return f"{text} is a file: put words in quotes, or save a table as .csv"
    if _is_folder(text):
        return f"{text} is a folder: name the one for results with -o"
    if out and not out.is_dir() and (out.is_file() or out.suffix.lower() in WRITABLE):
        return f"-o {out} is a file: for a folder of photos, name a folder"
    return None


def _problem_of_files(photo: Path, text: str, out: Path | None) -> str | None:
    if photo.suffix.lower() not in READABLE:
        return f"{photo} is none of {', '.join(sorted(READABLE))}: convert it to one of them"
    if _is_file(text):
        return f"{text} is a file: put words in quotes, or give a folder for many photos"
    if _is_folder(text):
        return f"{text} is a folder: name the file for the result with -o"
    if out and os.path.realpath(out) == os.path.realpath(photo):
        return f"-o {out} would overwrite the photo: give it another name"
    if out and out.is_dir():
        return f"-o {out} is a folder: for a single photo, name a file"
    if out and out.suffix.lower() not in WRITABLE:
        return f"-o {out}: the result is one of {', '.join(sorted(WRITABLE))}"
    return None


def _is_file(text: str) -> bool:
    """Whether words are a file's path. A single word may be a file's name by chance."""
    return "." in text and os.path.isfile(text)  # noqa: PTH113 - long ones raise


def _is_folder(text: str) -> bool:
    """Whether words are a folder's path. A single word may be a folder's name by chance."""
    return ("/" in text or os.sep in text) and os.path.isdir(text)  # noqa: PTH112 - long ones raise


def is_said(phrase: str, text: str) -> bool:
    """Whether a text holds a phrase's words in a row; prompt weights and case do not count."""
    wanted, words = (" ".join(_words(part)) for part in (phrase, text))
    return bool(wanted) and f" {wanted} " in f" {words} "


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", re.sub(r":[0-9.]+\)", ")", text).lower())
