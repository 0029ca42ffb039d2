"""A checkpoint's pictures of a set of photographs and descriptions, as published: for `compare`."""

import json
import logging
import zlib
from collections import Counter, defaultdict
from collections.abc import Container
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
        checkpoint: digest of the model's file.
        captions: digest of the file with the descriptions.
        size: side in px of the square that every photograph is scaled to; 0: its own shape.
        steps: of the published schedule.
        cfg: guidance scale.
        lightness: whose lightness a picture has, as `LCAD_Decode` takes it.
        seed: of the start noise; every picture adds a number of its own, after its name.
        first: only the first description of every photograph.
    """

    checkpoint: str
    captions: str
    size: int
    steps: int
    cfg: float
    lightness: Lightness
    seed: int
    first: bool


@dataclass(frozen=True)
class Wanted:
    """A picture to make.

    Attributes:
        photo: the photograph's file.
        text: one of its descriptions.
        name: the picture's path below the folder of results.
    """

    photo: Path
    text: str
    name: str

    def seed(self, first: int) -> int:
        """Another one for every picture, whatever else is made."""
        return first + zlib.crc32(self.name.encode("utf-8", "surrogateescape"))


def colorize(colorizer: Colorizer, photos: Path, captions: Path, out: Path, how: Published) -> str:
    """Colorize every photograph under every description of it; what is there already stays.

    The picture for description N of `NAME.jpg` is `NAME_N.png`, or `NAME.jpg_N.png` where that is
    another photograph's name; where only first descriptions are wanted, `NAME.png`.

    Args:
        colorizer: the model.
        photos: folder of the photographs, in gray or in color, searched with its subfolders.
        captions: descriptions by file name (see `numbered_captions`).
        out: folder to fill.
        how: settings, which are kept beside the pictures.

    Returns:
        A sentence on what was made.

    Raises:
        ResultsError: no photograph is described, or `out` has pictures made otherwise.
        CaptionsError: the captions are in no known format.
    """
    wanted = _wanted(photos, captions, first=how.first)
    _require_same(out, how)
    counts = Counter[str]()
    for picture in tqdm(wanted):
        target = out / picture.name
        if target.exists():
            counts["there"] += 1
            continue
        try:
            image = _read(picture.photo, how.size)
        except PictureError as error:
            logger.warning("%s cannot be read: %s", picture.photo, error)
            counts["broken"] += 1
            continue
        seed = picture.seed(how.seed)
        _save(_picture(colorizer, image, picture.text, how, seed), target)
        counts["made"] += 1
    return (
        f"{out}: {counts['made']} pictures made, {counts['there']} were there, {counts['broken']} "
        "left out since their photographs cannot be read."
    )


def _wanted(photos: Path, captions: Path, *, first: bool) -> list[Wanted]:
    """Every photograph with every description of it, or with the first."""
    said: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name, number, text in numbered_captions(captions):
        said[name].append((number, text))
    files = sorted(f for f in files_below(photos) if f.suffix.lower() in READABLE)
    names = {file.relative_to(photos).with_suffix("") for file in files}
    wanted = []
    for file in files:
        inside = file.relative_to(photos)
        texts = sorted(captions_of(inside, said) or [])
        if first:
            found = [Wanted(file, text, f"{inside.with_suffix('')}.png") for _, text in texts[:1]]
        else:
            found = [Wanted(file, text, _numbered(inside, n, names)) for n, text in texts]
        wanted += found
    if not wanted:
        raise ResultsError(
            f"{captions} describes none of the {len(files)} photographs in {photos}."
        )
    return wanted


def _numbered(inside: Path, number: int, names: Container[Path]) -> str:
    short = inside.with_name(f"{inside.stem}_{number}")
    return f"{short}.png" if short not in names else f"{inside}_{number}.png"


def _require_same(out: Path, how: Published) -> None:
    """Keep the settings beside the pictures, and refuse to go on with others."""
    file, wanted = out / SETTINGS, asdict(how)
    try:
        there = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if next(out.rglob("*.png"), None):
            raise ResultsError(
                f"{out} has pictures, and no {SETTINGS} that says how they were made: name "
                "another folder."
            ) from None
        out.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_text(json.dumps(wanted, indent=2), encoding="utf-8")
        part.replace(file)
    except ValueError as error:
        raise ResultsError(f"{file} cannot be read: {error}. Name another folder.") from error
    else:
        if there != wanted:
            raise ResultsError(
                f"{out} has pictures made with other settings, captions or weights ({file}): name "
                "another folder."
            )


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
