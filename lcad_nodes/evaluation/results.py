"""A checkpoint's pictures of a set of photographs and descriptions, as published: for `compare`."""

import json
import logging
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor, to_pil_image
from tqdm import tqdm

from ..files.captions import captions_of, numbered_captions
from ..files.formats import READABLE
from ..files.pictures import PictureError, files_below, read_picture
from .colorizer import Colorizer, Lightness

logger = logging.getLogger(__name__)

SETTINGS = "settings.json"


class ResultsError(ValueError):
    """Pictures cannot be made as asked; the message says what is missing or does not fit."""


@dataclass(frozen=True)
class Published:
    """How pictures are made.

    Attributes:
        checkpoint: the model's file, by name.
        size: side in px of the square that every photograph is scaled to; 0: its own shape.
        steps: of the published schedule.
        cfg: guidance scale.
        lightness: whose lightness a picture has, as `LCAD_Decode` takes it.
        seed: of the first picture's start noise; every further one has the next.
    """

    checkpoint: str
    size: int
    steps: int
    cfg: float
    lightness: Lightness
    seed: int


def colorize(
    colorizer: Colorizer, photos: Path, captions: Path, out: Path, how: Published, *, first: bool
) -> str:
    """Colorize every photograph under every description of it; what is there already stays.

    The picture for description N of `NAME.jpg` is `NAME_N.png`, as `compare` knows it.

    Args:
        colorizer: the model.
        photos: folder of the photographs, in gray or in color, searched with its subfolders.
        captions: descriptions by file name (see `numbered_captions`).
        out: folder to fill.
        how: settings, which are kept beside the pictures.
        first: only the first description of every photograph.

    Returns:
        A sentence on what was made.

    Raises:
        ResultsError: no photograph is described, or `out` has pictures made otherwise.
        CaptionsError: the captions are in no known format.
    """
    wanted = _wanted(photos, captions, first=first)
    _require_same(out, how)
    counts = Counter[str]()
    for index, (photo, number, text) in enumerate(tqdm(wanted)):
        inside = photo.relative_to(photos)
        target = out / inside.with_name(f"{inside.stem}_{number}.png")
        if target.exists():
            counts["there"] += 1
            continue
        try:
            image = _read(photo, how.size)
        except PictureError as error:
            logger.warning("%s cannot be read: %s", photo, error)
            counts["broken"] += 1
            continue
        _save(_picture(colorizer, image, text, how, how.seed + index), target)
        counts["made"] += 1
    return (
        f"{out}: {counts['made']} pictures made, {counts['there']} were there, {counts['broken']} "
        "left out since their photographs cannot be read."
    )


def _wanted(photos: Path, captions: Path, *, first: bool) -> list[tuple[Path, int, str]]:
    """Every photograph with every description of it and its number."""
    said: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name, number, text in numbered_captions(captions):
        said[name].append((number, text))
    files = sorted(f for f in files_below(photos) if f.suffix.lower() in READABLE)
    wanted = [
        (file, number, text)
        for file in files
        for number, text in sorted(captions_of(file.relative_to(photos), said) or [])[
            : 1 if first else None
        ]
    ]
    if not wanted:
        raise ResultsError(
            f"{captions} describes none of the {len(files)} photographs in {photos}."
        )
    return wanted


def _require_same(out: Path, how: Published) -> None:
    """Keep the settings beside the pictures, and refuse to go on with others."""
    file = out / SETTINGS
    wanted = asdict(how)
    if file.is_file():
        there = json.loads(file.read_text(encoding="utf-8"))
        if there != wanted:
            raise ResultsError(
                f"{out} has pictures made with other settings ({file}): name another folder."
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(wanted, indent=2), encoding="utf-8")


def _read(photo: Path, size: int) -> Tensor:
    """1,3,H,W in [0, 1]."""
    image = read_picture(photo)
    if size:
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return pil_to_tensor(image)[None].float() / 255


def _save(picture: Tensor, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    to_pil_image(picture).save(part, "PNG")
    part.replace(target)


def _picture(colorizer: Colorizer, image: Tensor, text: str, how: Published, seed: int) -> Tensor:
    """3,H,W in [0, 1]."""
    luminance = colorizer.read(image)
    latents = colorizer.sample_as_published(luminance, text, seed)
    return colorizer.decode(latents, luminance, how.lightness)[0].cpu()
