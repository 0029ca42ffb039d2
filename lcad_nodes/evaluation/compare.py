"""Folders of results of any methods, scored side by side."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path, PurePosixPath

from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor, resize
from tqdm import tqdm

from ..color.lab import gray, lightness
from ..color.measures import color_difference, colorfulness, psnr, ssim
from ..color.names import judge_objects
from ..files.captions import numbered_captions
from ..files.pictures import BROKEN, PictureError, read_picture
from ..model.phrases import PhraseError, split_phrases
from .bootstrap import Estimate, Statistic, estimate, mean, ratio
from .metrics import Backbones, FrechetDistance
from .report import SIDE, Figure, Table, Tile, cell, sheet, write_csv
from .scoring import Samples

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
SHOWN = 16
"""Photographs on the sheet."""
TRUTH = "truth"
ADDED = ".color"
"""What `quickstart.py colorize` adds to a photo's name."""
SCALED = "scaled to the size of the truth"
STRETCHED = "stretched to the truth's proportions, right only if they had been squeezed"
SAME = "equal to the truth and left out of PSNR, which is infinite"
LISTED = 10
"""Names that a note gives at most, of pictures that were scored."""
COLUMNS: dict[str, tuple[Statistic, str]] = {
    "PSNR, dB ↑": (mean, "{:.2f}"),
    "SSIM ↑": (mean, "{:.4f}"),
    "LPIPS ↓": (mean, "{:.4f}"),
    "FID ↓": (mean, "{:.2f}"),
    "CLIP score ↑": (mean, "{:.2f}"),
    "colorfulness": (mean, "{:.2f}"),
    "ΔE2000 ↓": (mean, "{:.2f}"),
    "color accuracy ↑": (ratio, "{:.1%}"),
    "binding ↑": (ratio, "{:.1%}"),
}


class CompareError(ValueError):
    """Folders or files do not go together; the message says which."""


@dataclass(frozen=True)
class Photograph:
    """A photograph and what its pictures should be like.

    Attributes:
        stem: the name that all its files have, without type.
        file: in color.
        text: its description; None where there is none.
        masks: one for each comma-separated part of the description, or none at all.
    """

    stem: str
    file: Path
    text: str | None = None
    masks: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """The outcome.

    Attributes:
        figures: of every method and of the truth, by the names in `COLUMNS`.
        notes: a sentence for everything that is missing, left out or made to fit.
        tiles: the sheet's rows.
    """

    figures: dict[str, dict[str, Estimate]]
    notes: tuple[str, ...]
    tiles: list[list[Tile]]

    def write(self, out: Path) -> str:
        """Write `comparison.md`, `.csv` and `.png` into a folder; the table and the notes."""
        out.mkdir(parents=True, exist_ok=True)
        rows = tuple(
            (method, *(cell(found.get(c), form) for c, (_, form) in COLUMNS.items()))
            for method, found in self.figures.items()
        )
        notes = "\n".join(f"- {note}" for note in self.notes)
        text = f"{Table(('method', *COLUMNS), rows).markdown()}\n\n{notes}\n"
        (out / "comparison.md").write_text(text, encoding="utf-8")
        flat = [Figure(m, c, e) for m, found in self.figures.items() for c, e in found.items()]
        write_csv(flat, out / "comparison.csv")
        sheet(self.tiles).save(out / "comparison.png")
        return text


def compare(
    folders: Sequence[Path],
    truth: Path,
    captions: Path | None,
    masks: Path | None,
    backbones: Backbones,
) -> Comparison:
    """Score every folder on the photographs that all of them have, and that can be read in all.

    Files belong together by their names, whatever their types. A picture of another size than
    the truth is scaled to it. Pictures are read one at a time, however many there are.

    Args:
        folders: one of results a method.
        truth: the photographs in color.
        captions: descriptions by file name (see `descriptions`).
        masks: folder of `NAME.0.png`, `NAME.1.png` and so on: one mask for each comma-separated
            part of the description of NAME, in order. Parts that name one of the eleven basic
            colors, and no other, are scored.
        backbones: the trained networks that are there.

    Raises:
        CompareError: folders have one name or no pictures, two files of a folder have one name,
            no photograph is in all folders and readable, or masks and descriptions do not go
            together.
        CaptionsError: the captions are in no known format.
    """
    named = _named(truth, folders)
    files = {name: _pictures(folder, truth=name == TRUTH) for name, folder in named.items()}
    common = sorted(set.intersection(*(set(found) for found in files.values())))
    if not common:
        raise CompareError(f"No photograph of {truth} has a result in every folder.")
    texts = descriptions(captions) if captions else {}
    outlined = _masks(masks) if masks else {}
    photographs = [
        Photograph(s, files[TRUTH][s], texts.get(s), outlined.get(s, ())) for s in common
    ]
    _check_masks(photographs)
    photographs, found_out = _usable(photographs, files, backbones.least)
    fid = (
        FrechetDistance(backbones.inception)
        if backbones.inception and len(photographs) > 1
        else None
    )
    tiles: list[list[Tile]] = [[] for _ in photographs[:SHOWN]]
    figures = {
        method: _score(method, found, photographs, backbones, fid, tiles)
        for method, found in files.items()
    }
    lacking = _lacking(photographs, captions, masks, set(outlined) - set(common))
    return Comparison(
        figures, (*_differences(files), *found_out, *backbones.missing, *lacking), tiles
    )


def descriptions(file: Path) -> dict[str, str]:
    """Descriptions by the names of pictures, without their types.

    The picture `a` is taken to have the first description of `a.jpg`, `a_0`, `a_1` and so on the
    one of that number. For the formats known, see `numbered_captions`.

    Raises:
        CaptionsError: the file is in none of them.
    """
    texts: dict[str, str] = {}
    numbered: dict[str, str] = {}
    for name, number, text in numbered_captions(file):
        stem = PurePosixPath(name).stem
        texts.setdefault(stem, text)
        numbered[f"{stem}_{number}"] = text
    return numbered | texts  # where `a_1` is a picture of its own, its text is no second one of `a`


def _named(truth: Path, folders: Sequence[Path]) -> dict[str, Path]:
    """The folders by the names that the methods go by, the truth first."""
    names = Counter(folder.resolve().name for folder in folders)
    twice = [name for name, count in names.items() if count > 1 or name == TRUTH]
    if twice:
        raise CompareError(
            f"Methods go by their folders' names, and {', '.join(twice)} is taken: rename it."
        )
    return {TRUTH: truth, **{folder.resolve().name: folder for folder in folders}}


def _pictures(folder: Path, *, truth: bool) -> dict[str, Path]:
    """A folder's pictures by their names without type.

    `quickstart.py colorize` puts its results beside the photos, with a longer name: the truth are
    the photos, and a method's pictures the results, where there are any.
    """
    if not folder.is_dir():
        raise CompareError(f"{folder} is not a folder.")
    files = [
        file
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in PICTURES and not file.name.startswith(".")
    ]
    results = _by_name([file for file in files if file.stem.endswith(ADDED)], folder)
    plain = _by_name([file for file in files if not file.stem.endswith(ADDED)], folder)
    found = plain if truth or not results else results
    if not found:
        raise CompareError(f"{folder} holds no pictures ({', '.join(sorted(PICTURES))}).")
    return found


def _by_name(files: Sequence[Path], folder: Path) -> dict[str, Path]:
    names = [file.stem.removesuffix(ADDED) for file in files]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise CompareError(f"{folder} has more than one picture named {', '.join(twice)}.")
    return dict(zip(names, files, strict=True))


def _differences(files: Mapping[str, Mapping[str, Path]]) -> list[str]:
    """Name what one folder has and another has not."""
    everything = set().union(*files.values())
    return [
        f"Not scored, since {name} lacks them: {', '.join(sorted(everything - set(found)))}."
        for name, found in files.items()
        if everything - set(found)
    ]


def _lacking(
    photographs: Sequence[Photograph], captions: Path | None, masks: Path | None, strange: set[str]
) -> list[str]:
    """Name what has no description or masks, and masks of `strange` pictures."""
    notes: list[str] = []
    if not captions:
        notes.append("CLIP score, color accuracy and binding are empty: no captions were given.")
    elif undescribed := [photo.stem for photo in photographs if not photo.text]:
        notes.append(f"Without a description: {', '.join(undescribed)}.")
    if captions and not masks:
        notes.append("Color accuracy and binding are empty: no masks were given.")
    elif masks and (unmasked := [photo.stem for photo in photographs if not photo.masks]):
        notes.append(f"Without masks: {', '.join(unmasked)}.")
    if strange:
        notes.append(f"Masks without a photograph in every folder: {', '.join(sorted(strange))}.")
    return notes


def _parts(text: str | None) -> list[str]:
    """The comma-separated parts of a description, as the nodes take it apart."""
    try:
        return split_phrases("", text or "")
    except PhraseError:
        return []


def _check_masks(photographs: Sequence[Photograph]) -> None:
    for photo in photographs:
        parts = _parts(photo.text)
        if photo.masks and len(parts) != len(photo.masks):
            raise CompareError(
                f"{photo.stem} has {len(photo.masks)} masks, but its description {photo.text!r} "
                f"has {len(parts)} comma-separated parts: there must be one mask for each."
            )


def _masks(folder: Path) -> dict[str, tuple[Path, ...]]:
    """A folder's masks by the names of their pictures, in the order of their numbers."""
    if not folder.is_dir():
        raise CompareError(f"{folder} is not a folder.")
    found: dict[str, list[tuple[int, Path]]] = {}
    files = [file for file in folder.iterdir() if file.suffix.lower() == ".png"]
    for file in (file for file in files if not file.name.startswith(".")):
        stem, _, number = file.stem.rpartition(".")
        if not stem or not number.isdecimal():
            raise CompareError(f"{file} is not named like a mask: NAME.0.png, NAME.1.png, ...")
        found.setdefault(stem, []).append((int(number), file))
    if not found:
        raise CompareError(f"{folder} holds no masks: NAME.0.png, NAME.1.png, ...")
    return {stem: tuple(file for _, file in sorted(files)) for stem, files in found.items()}


def _usable(
    photographs: Sequence[Photograph], files: Mapping[str, Mapping[str, Path]], least: int
) -> tuple[list[Photograph], list[str]]:
    """The photographs that can be scored in every folder; what is wrong with others, and to know.

    All is read once before, so that a bad file costs its own photograph and not the comparison.
    """
    usable, notes = [], []
    peculiar: dict[tuple[str, str], list[str]] = defaultdict(list)
    for photo in tqdm(photographs, desc="reading"):
        try:
            its_own = {name: some[photo.stem] for name, some in files.items()}
            found = _inspect(photo, its_own, least)
        except CompareError as error:
            notes.append(f"{photo.stem} is not scored: {error}")
            continue
        usable.append(photo)
        for key in found:
            peculiar[key].append(photo.stem)
    if not usable:
        raise CompareError("\n".join(["No photograph can be scored.", *notes]))
    for (method, what), stems in peculiar.items():
        some = ", ".join(stems[:LISTED]) + ", ..." * (len(stems) > LISTED)
        notes.append(f"Of {method}, {len(stems)} are {what}: {some}.")
    return usable, notes


def _inspect(photo: Photograph, files: Mapping[str, Path], least: int) -> list[tuple[str, str]]:
    """Read all files of a photograph; which method's picture is unlike the truth, and how.

    Raises:
        CompareError: one cannot be read or does not fit.
    """
    truth = _read(photo.file)
    height, width = truth.shape[1:]
    if min(height, width) < least:
        raise CompareError(f"{photo.file} is {width} x {height} px, below {least} px a side.")
    for mask in photo.masks:
        _read_mask(mask, truth)
    found = []
    for method, picture in ((name, _read(file)) for name, file in files.items() if name != TRUTH):
        high, wide = picture.shape[1:]
        if (high, wide) != (height, width):
            fits = min(abs(high - wide * height / width), abs(wide - high * width / height)) <= 1
            found.append((method, SCALED if fits else STRETCHED))
        elif picture.equal(truth):
            found.append((method, SAME))
    return found


def _score(
    method: str,
    files: Mapping[str, Path],
    photographs: Sequence[Photograph],
    backbones: Backbones,
    fid: FrechetDistance | None,
    tiles: Sequence[list[Tile]],
) -> dict[str, Estimate]:
    """Measure a method's pictures, by the names in `COLUMNS`, and add the first to the tiles."""
    samples: dict[str, Samples] = {name: [] for name in COLUMNS}
    for number, photo in enumerate(tqdm(photographs, desc=method)):
        truth = _read(photo.file)
        picture = truth if method == TRUTH else _read_like(truth, files[photo.stem])
        found = _against_request(picture, photo, backbones)
        if method != TRUTH:
            found |= _against_truth(picture[None], truth[None], backbones)
        for name, sample in found.items():
            if all(map(isfinite, sample)):
                samples[name].append(sample)
        if fid:
            fid.add(picture, real=method == TRUTH)
        if number < len(tiles):
            if method == TRUTH:
                black = gray(lightness(truth[None]))[0]
                tiles[number].append(Tile(_small(black), photo.text or photo.stem))
            tiles[number].append(Tile(_small(picture), method))
    figures = {c: estimate(samples[c], how) for c, (how, _) in COLUMNS.items() if samples[c]}
    if fid and method != TRUTH:
        nothing = float("nan")  # a figure of the whole set: no scenes to draw again
        figures["FID ↓"] = Estimate(fid.distance(), nothing, nothing, len(photographs))
    return figures


def _against_truth(
    picture: Tensor, truth: Tensor, backbones: Backbones
) -> dict[str, tuple[float, ...]]:
    found = {
        "PSNR, dB ↑": psnr(picture, truth),
        "SSIM ↑": ssim(picture, truth, 1.0),
        "ΔE2000 ↓": color_difference(picture, truth),
    }
    if backbones.lpips:
        found["LPIPS ↓"] = backbones.lpips(picture, truth)
    return {name: (float(value),) for name, value in found.items()}


def _against_request(
    picture: Tensor, photo: Photograph, backbones: Backbones
) -> dict[str, tuple[float, ...]]:
    found: dict[str, tuple[float, ...]] = {"colorfulness": (float(colorfulness(picture[None])),)}
    if backbones.clip and photo.text:
        found["CLIP score ↑"] = (backbones.clip(picture, photo.text),)
    masks = [_read_mask(file, picture) for file in photo.masks]
    judged = judge_objects(picture, zip(_parts(photo.text), masks, strict=False))
    if judged:
        hits = (float(sum(right for _, right in judged)), float(len(judged)))
        found["color accuracy ↑"] = hits
        if len({color for color, _ in judged}) > 1:
            found["binding ↑"] = hits
    return found


def _read(file: Path) -> Tensor:
    """A picture, 3,H,W in [0, 1]."""
    try:
        return pil_to_tensor(read_picture(file)).float() / 255
    except PictureError as error:
        raise CompareError(f"{file} cannot be read as a picture: {error}") from error


def _read_like(truth: Tensor, file: Path) -> Tensor:
    """A picture of the size of the truth."""
    picture = _read(file)
    if picture.shape == truth.shape:
        return picture
    return resize(picture, list(truth.shape[1:]), antialias=True).clamp(0, 1)


def _read_mask(file: Path, picture: Tensor) -> Tensor:
    """A mask, H,W of 0 and 1, 1 where the file is white."""
    try:
        with Image.open(file) as opened:
            clear = opened.has_transparency_data and opened.convert("RGBA").getextrema()[3][0] < 255
    except (*BROKEN, Image.DecompressionBombError) as error:
        raise CompareError(f"{file} cannot be read as a mask: {error}") from error
    if clear:
        raise CompareError(f"{file} is see-through in places: a mask is white on black.")
    mask = (_read(file).mean(dim=0) > 0.5).float()
    if mask.shape != picture.shape[1:]:
        sizes = [f"{size[1]} x {size[0]} px" for size in (mask.shape, picture.shape[1:])]
        raise CompareError(f"{file} is {sizes[0]}, its photograph {sizes[1]}: they must be equal.")
    if not mask.any():
        raise CompareError(f"{file} marks nothing: a mask is white (255) where the thing is.")
    return mask


def _small(picture: Tensor) -> Tensor:
    """A picture no larger than a tile of the sheet."""
    scale = min(1.0, SIDE / max(picture.shape[1:]))
    size = [max(1, round(scale * side)) for side in picture.shape[1:]]
    return resize(picture, size, antialias=True)
