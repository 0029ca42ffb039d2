"""A checkpoint's pictures of a set of photographs and descriptions, as published: for `compare`."""

import io
import json
import logging
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor
from torchvision.transforms.functional import to_pil_image
from tqdm import tqdm

from ..files.digests import digest, digest_of
from ..files.formats import READABLE
from ..files.pictures import PictureError, read_picture
from ..model.guidance import Reduction
from ..model.phrases import PhraseError
from .colorizer import Colorizer, Lightness, Mode, guide
from .descriptions import Descriptions
from .naming import CompareError, Name, once, visible_files, without_type
from .reading import Size, check_counts, read_mask, scaled, to_tensor

logger = logging.getLogger(__name__)

SETTINGS = "settings.json"


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
        objects: digest of the masks and phrases; empty: no masks.
        strength: of guidance by masks, per element where the reduction is the sum.
        mode: of guidance, as `LCAD_GuideAttention` takes it; `reference` is the published one.
        reduction: of guidance, likewise; `mean` is the published one, and does next to nothing.
    """

    checkpoint: str
    captions: str
    size: int
    steps: int
    cfg: float
    lightness: Lightness
    seed: int
    first: bool
    objects: str
    strength: float
    mode: Mode
    reduction: Reduction


@dataclass(frozen=True)
class Wanted:
    """A picture to make.

    Attributes:
        photo: the photograph's file.
        name: the picture's path below the folder of results.
        text: one of the photograph's descriptions.
        phrases: of the description.
        masks: one for each phrase, or none at all.
    """

    photo: Path
    name: str
    text: str
    phrases: Sequence[str]
    masks: Sequence[Path]

    def seed(self, base: int) -> int:
        """Another one for every picture, whatever else is made."""
        return base + zlib.crc32(self.name.encode("utf-8", "surrogateescape"))


def list_wanted(
    photos: Path,
    out: Path,
    captions: Path,
    phrases: Path | None = None,
    masks: Path | None = None,
    *,
    first: bool = False,
) -> list[Wanted]:
    """List a picture for every description of every photograph.

    That for description N of `NAME.jpg` is `NAME_N.png`, or `NAME.jpg_N.png` where that is another
    photograph's name; where only first descriptions are wanted, `NAME.png`.

    Args:
        photos: folder of the photographs, in gray or in color, searched with its subfolders.
        out: the folder to fill, which may lie among them.
        captions: descriptions by file name (see `Descriptions`, as of the next two).
        phrases: what the masks are of, where not of the description's comma-separated parts.
        masks: folder of masks, one for each phrase of a description.
        first: whether only the first description of every photograph is wanted.

    Raises:
        CompareError: no photograph is described, or no mask is of one, or `out` is the folder of
            photographs, or two of them have one name, or as `Descriptions`.
        CaptionsError: as `Descriptions`.
    """
    if out.resolve() == photos.resolve():
        raise CompareError(
            f"{out} is the folder of photographs: name another for the results; it may lie in it."
        )
    files = visible_files(photos, [out, *filter(None, [masks])], READABLE)
    names = {without_type(file) for file in files}
    descriptions = Descriptions(names, captions, phrases, masks, [photos, out])
    texts = descriptions.texts
    described = {file: without_type(file) for file in files if without_type(file) in texts}
    if not described:
        raise CompareError(
            f"{captions} describes none of the {len(files)} photographs in {photos}."
        )
    wanted = []
    for photograph, file in once(photos, described).items():
        for number in sorted(texts[photograph])[: 1 if first else None]:
            name = Name(photograph, number)
            made = f"{file.relative_to(photos)}_{number}" if str(name) in names else str(name)
            made = photograph if first else made
            text = texts[photograph][number]
            _, named, marked = descriptions.of(name)
            wanted.append(Wanted(file, f"{made}.png", text, named, marked))
    if masks and not any(picture.masks for picture in wanted):
        raise CompareError(
            f"No mask in {masks} is named after a described photograph in {photos}: "
            "NAME.0.png, NAME.1.png, ..."
        )
    return wanted


def objects_digest(wanted: Sequence[Wanted]) -> str:
    """What tells the masks and phrases of pictures from others; empty where there are no masks."""
    masked = [picture for picture in wanted if picture.masks]
    told = [f"{p.name} {p.phrases} {[digest_of(mask) for mask in p.masks]}" for p in masked]
    text = "\n".join(told).encode("utf-8", "surrogateescape")
    return digest(io.BytesIO(text)) if told else ""


def colorize(colorizer: Colorizer, wanted: Sequence[Wanted], out: Path, how: Published) -> str:
    """Make pictures; those that are there already stay.

    Args:
        colorizer: the model.
        wanted: the pictures.
        out: folder to fill.
        how: settings, which are kept beside the pictures.

    Returns:
        A sentence on what was made.

    Raises:
        CompareError: `out` has pictures made otherwise.
    """
    _require_same(out, how)
    counts = Counter[str]()
    for picture in tqdm(wanted):
        target = out / picture.name
        if target.exists():
            counts["there"] += 1
            continue
        try:
            made = _picture(colorizer, picture, how)
        except (PictureError, CompareError, PhraseError) as error:
            logger.warning("%s of %s: %s", picture.name, picture.photo, error)
            counts["left out"] += 1
            continue
        _save(made, target)
        counts["made"] += 1
        counts["guided"] += bool(picture.masks)
    guided = f" ({counts['guided']} of them by masks)" if how.objects else ""
    return (
        f"{out}: {counts['made']} pictures made{guided}, {counts['there']} were there, "
        f"{counts['left out']} left out, for the reasons above."
    )


def _require_same(out: Path, how: Published) -> None:
    """Keep the settings beside the pictures, and refuse to go on with others."""
    file, wanted = out / SETTINGS, asdict(how)
    try:
        there = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if next(out.rglob("*.png"), None):
            raise CompareError(
                f"{out} has pictures, and no {SETTINGS} that says how they were made: name "
                "another folder."
            ) from None
        out.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_text(json.dumps(wanted, indent=2), encoding="utf-8")
        part.replace(file)
    except ValueError as error:
        raise CompareError(f"{file} cannot be read: {error}. Name another folder.") from error
    else:
        if there != wanted:
            raise CompareError(
                f"{out} has pictures made with other settings, captions or weights ({file}): name "
                "another folder."
            )


def _read(photo: Path, size: int) -> tuple[Tensor, Size]:
    """A photograph, 1,3,H,W in [0, 1], and its own size."""
    image = read_picture(photo)
    own = (image.height, image.width)
    if size:
        image = scaled(image, (size, size))
    return to_tensor(image)[None], own


def _save(picture: Tensor, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    to_pil_image(picture).save(part, "PNG")
    part.replace(target)


def _picture(colorizer: Colorizer, wanted: Wanted, how: Published) -> Tensor:
    """3,H,W in [0, 1]."""
    check_counts(wanted.masks, wanted.phrases)
    if wanted.masks and not wanted.phrases:
        raise CompareError("it has masks, and its description no words that they could be of.")
    image, own = _read(wanted.photo, how.size)
    size = (image.shape[2], image.shape[3])
    masks = [read_mask(file, own, size) for file in wanted.masks]
    luminance = colorizer.read(image)
    guiding = guide(how.strength, mode=how.mode, reduction=how.reduction)
    named = list(zip(wanted.phrases, masks, strict=True)) if masks else []
    seed = wanted.seed(how.seed)
    latents = colorizer.sample_as_published(luminance, wanted.text, named, guiding, seed)
    return colorizer.decode(latents, luminance, how.lightness)[0].cpu()
