"""Folders of results of any methods, scored side by side."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor, resize
from tqdm import tqdm

from ..color.lab import gray, lightness, rgb_to_lab
from ..color.measures import colorfulness, delta_e2000, mean_lab, psnr, ssim
from ..color.names import color_matches, named_in
from .bootstrap import Estimate, Statistic, estimate, mean, ratio
from .files import PictureError, numbered_captions, read_picture
from .metrics import Backbones, FrechetDistance
from .report import SIDE, Figure, Table, Tile, cell, sheet, write_csv
from .scoring import Samples

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
SHOWN = 16
"""Photographs on the sheet."""
TRUTH = "truth"
ADDED = ".color"
"""What `quickstart.py colorize` adds to a photo's name."""
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
        notes: a sentence for everything that is missing.
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
    """Score every folder on the photographs that all of them have.

    Files belong together by their names, whatever their types. A picture of another size than
    the truth is scaled to it. Pictures are read one at a time, however many there are.

    Args:
        folders: one of results a method.
        truth: the photographs in color.
        captions: descriptions by file name (see `descriptions`).
        masks: folder of `NAME.0.png`, `NAME.1.png` and so on: one mask for each comma-separated
            part of the description of NAME, in order. Parts that name one of the eleven basic
            colors are scored.
        backbones: the trained networks that are there.

    Raises:
        CompareError: folders have one name or no pictures, two files of a folder have one name,
            no photograph is in all folders, or masks and descriptions do not go together.
        CaptionsError: the captions are in no known format.
    """
    files = {name: _pictures(folder) for name, folder in _named(truth, folders).items()}
    common = sorted(set.intersection(*(set(found) for found in files.values())))
    if not common:
        raise CompareError(f"No photograph of {truth} has a result in every folder.")
    texts = descriptions(captions) if captions else {}
    outlined = _masks(masks) if masks else {}
    photographs = [
        Photograph(s, files[TRUTH][s], texts.get(s), outlined.get(s, ())) for s in common
    ]
    _check_masks(photographs)
    fid = FrechetDistance(backbones.inception) if backbones.inception and len(common) > 1 else None
    tiles: list[list[Tile]] = [[] for _ in common[:SHOWN]]
    figures = {
        method: _score(method, found, photographs, backbones, fid, tiles)
        for method, found in files.items()
    }
    notes = (*_differences(files), *backbones.missing, *_undescribed(common, texts))
    return Comparison(figures, notes, tiles)


def descriptions(file: Path) -> dict[str, str]:
    """Descriptions by the names of pictures, without their types.

    The picture `a` is taken to have the first description of `a.jpg`, `a_0`, `a_1` and so on the
    one of that number. For the formats known, see `numbered_captions`.

    Raises:
        CaptionsError: the file is in none of them.
    """
    texts: dict[str, str] = {}
    for name, number, text in numbered_captions(file):
        stem = PurePosixPath(name).stem
        texts[f"{stem}_{number}"] = text
        texts.setdefault(stem, text)
    return texts


def _named(truth: Path, folders: Sequence[Path]) -> dict[str, Path]:
    """The folders by the names that the methods go by, the truth first."""
    names = Counter(folder.resolve().name for folder in folders)
    twice = [name for name, count in names.items() if count > 1 or name == TRUTH]
    if twice:
        raise CompareError(
            f"Methods go by their folders' names, and {', '.join(twice)} is taken: rename it."
        )
    return {TRUTH: truth, **{folder.resolve().name: folder for folder in folders}}


def _pictures(folder: Path) -> dict[str, Path]:
    """A folder's pictures by their names without type, or what `quickstart.py colorize` adds."""
    if not folder.is_dir():
        raise CompareError(f"{folder} is not a folder.")
    files = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in PICTURES]
    if not files:
        raise CompareError(f"{folder} holds no pictures ({', '.join(sorted(PICTURES))}).")
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


def _undescribed(stems: Sequence[str], texts: Mapping[str, str]) -> list[str]:
    lacking = [stem for stem in stems if stem not in texts]
    return [f"Without a description: {', '.join(lacking)}."] if texts and lacking else []


def _check_masks(photographs: Sequence[Photograph]) -> None:
    for photo in photographs:
        parts = photo.text.split(",") if photo.text else []
        if photo.masks and len(parts) != len(photo.masks):
            raise CompareError(
                f"{photo.stem} has {len(photo.masks)} masks, but its description {photo.text!r} "
                f"has {len(parts)} comma-separated parts: there must be one mask for each."
            )


def _masks(folder: Path) -> dict[str, tuple[Path, ...]]:
    """A folder's masks by the names of their pictures, in the order of their numbers."""
    found: dict[str, list[tuple[int, Path]]] = {}
    for file in folder.glob("*.png"):
        stem, _, number = file.stem.rpartition(".")
        if not stem or not number.isdecimal():
            raise CompareError(f"{file} is not named like a mask: NAME.0.png, NAME.1.png, ...")
        found.setdefault(stem, []).append((int(number), file))
    return {stem: tuple(file for _, file in sorted(files)) for stem, files in found.items()}


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
    difference = delta_e2000(rgb_to_lab(picture), rgb_to_lab(truth)).mean()
    found = {
        "PSNR, dB ↑": psnr(picture, truth),
        "SSIM ↑": ssim(picture, truth, 1.0),
        "ΔE2000 ↓": difference,
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
    objects = [
        (color, _read_mask(file, picture))
        for part, file in zip((photo.text or "").split(","), photo.masks, strict=False)
        if (color := named_in(part))
    ]
    if objects:
        right = [color_matches(mean_lab(picture, mask), color) for color, mask in objects]
        hits = (float(sum(right)), float(len(right)))
        found["color accuracy ↑"] = hits
        if len({color for color, _ in objects}) > 1:
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
    """A mask, H,W of 0 and 1."""
    try:
        with Image.open(file) as opened:
            mask = (pil_to_tensor(opened.convert("L"))[0] > 127).float()
    except OSError as error:
        raise CompareError(f"{file} cannot be read as a mask: {error}") from error
    if mask.shape != picture.shape[1:] or not bool(mask.any()):
        raise CompareError(f"{file} is empty or has not the size of its photograph.")
    return mask


def _small(picture: Tensor) -> Tensor:
    """A picture no larger than a tile of the sheet."""
    scale = min(1.0, SIDE / max(picture.shape[1:]))
    size = [max(1, round(scale * side)) for side in picture.shape[1:]]
    return resize(picture, size, antialias=True)
