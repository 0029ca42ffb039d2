"""Folders of results of any methods, scored side by side."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor, resize
from tqdm import tqdm

from ..color.lab import gray, lightness, rgb_to_lab
from ..color.measures import colorfulness, delta_e2000, mean_lab, psnr, ssim
from ..color.names import color_matches, named_in
from .bootstrap import Estimate, Statistic, estimate, mean, ratio
from .metrics import Backbones, frechet_distance
from .report import Figure, Table, Tile, cell, sheet, write_csv
from .scoring import Samples

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
SHOWN = 16
"""Photographs on the sheet."""
TRUTH = "truth"
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


@dataclass(frozen=True, eq=False)
class Request:
    """What a photograph's picture should be like.

    Attributes:
        text: its description; None where there is none.
        objects: the color named and the mask, HxW of 0 and 1, of each object.
    """

    text: str | None = None
    objects: tuple[tuple[str, Tensor], ...] = ()


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
    the truth is scaled to it.

    Args:
        folders: one of results a method.
        truth: the photographs in color.
        captions: JSON of descriptions by file name (see `read_captions`).
        masks: folder of `NAME.0.png`, `NAME.1.png` and so on: one mask for each comma-separated
            part of the description of NAME, in order. Parts that name one of the eleven basic
            colors are scored.
        backbones: the trained networks that are there.

    Raises:
        CompareError: folders have one name, two files of a folder do, no photograph is in all
            folders, or masks and descriptions do not go together.
    """
    methods = _methods(folders)
    files = {name: _pictures(folder) for name, folder in {TRUTH: truth, **methods}.items()}
    common = sorted(set.intersection(*(set(found) for found in files.values())))
    if not common:
        raise CompareError(f"No photograph of {truth} has a result in every folder.")
    texts = read_captions(captions) if captions else {}
    truths = {stem: _read(files[TRUTH][stem]) for stem in common}
    outlined = _masks(masks) if masks else {}
    requests = {
        s: _request(s, texts.get(s), outlined.get(s, ()), truth) for s, truth in truths.items()
    }
    notes = [*_differences(files), *backbones.missing, *_undescribed(common, texts)]
    tiles = [
        [Tile(gray(lightness(truths[s][None]))[0], requests[s].text or s), Tile(truths[s], TRUTH)]
        for s in common[:SHOWN]
    ]
    figures = {}
    for method in files:
        samples, pictures = _score(files[method], truths, requests, backbones, method)
        figures[method] = {
            c: estimate(samples[c], statistic)
            for c, (statistic, _) in COLUMNS.items()
            if samples[c]
        }
        if method != TRUTH:
            for row, stem in zip(tiles, common, strict=False):
                row.append(Tile(pictures[stem], method))
            figures[method] |= _fid(backbones, truths, pictures)
    return Comparison(figures, tuple(notes), tiles)


def read_captions(file: Path) -> dict[str, str]:
    """Descriptions by the names of pictures, without their types.

    Reads what the field's data sets have: `{"a.jpg": ["one", "two"]}` (COCO) and
    `{"a.jpg_0": "one", "a.jpg_1": "two"}` (Extended COCO-Stuff, Multi-instances). The picture `a`
    is taken to have the first, `a_0`, `a_1` and so on the one of that number.

    Raises:
        CompareError: the file holds something else.
    """
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CompareError(f"{file} is not JSON: {error}") from error
    texts: dict[str, str] = {}
    for key, value in entries.items() if isinstance(entries, dict) else [("", None)]:
        match = re.fullmatch(r"(?P<stem>.+)\.\w+?(_(?P<number>\d+))?", key)
        listed = [value] if isinstance(value, str) else value
        if not match or not isinstance(listed, list) or not all(isinstance(t, str) for t in listed):
            raise CompareError(
                f'{file} must be an object like {{"a.jpg": ["text", ...]}} or '
                f'{{"a.jpg_0": "text"}}; {key!r} is not.'
            )
        for number, text in enumerate(listed, start=int(match["number"] or 0)):
            texts[f"{match['stem']}_{number}"] = text
            texts.setdefault(match["stem"], text)
    return texts


def _methods(folders: Sequence[Path]) -> dict[str, Path]:
    names = Counter(folder.resolve().name for folder in folders)
    twice = [name for name, count in names.items() if count > 1 or name == TRUTH]
    if twice:
        raise CompareError(
            f"Methods go by their folders' names, and {', '.join(twice)} is taken: rename it."
        )
    return {folder.resolve().name: folder for folder in folders}


def _pictures(folder: Path) -> dict[str, Path]:
    """A folder's pictures by their names without type."""
    if not folder.is_dir():
        raise CompareError(f"{folder} is not a folder.")
    files = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in PICTURES]
    twice = [stem for stem, count in Counter(file.stem for file in files).items() if count > 1]
    if twice:
        raise CompareError(f"{folder} has more than one picture named {', '.join(twice)}.")
    return {file.stem: file for file in files}


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


def _request(stem: str, text: str | None, files: Sequence[Path], truth: Tensor) -> Request:
    if not files:
        return Request(text)
    parts = text.split(",") if text else []
    if len(parts) != len(files):
        raise CompareError(
            f"{stem} has {len(files)} masks, but its description {text!r} has {len(parts)} "
            "comma-separated parts: there must be one mask for each."
        )
    objects = []
    for part, file in zip(parts, files, strict=True):
        color = named_in(part)
        mask = (_read(file)[0] > 0.5).float()
        if mask.shape != truth.shape[1:] or not bool(mask.any()):
            raise CompareError(f"{file} is empty or has not the size of {stem}'s truth.")
        if color:
            objects.append((color, mask))
    return Request(text, tuple(objects))


def _masks(folder: Path) -> dict[str, list[Path]]:
    """A folder's masks by the names of their pictures, in the order of their numbers."""
    found: dict[str, list[tuple[int, Path]]] = {}
    for file in folder.glob("*.png"):
        stem, _, number = file.stem.rpartition(".")
        if not stem or not number.isdecimal():
            raise CompareError(f"{file} is not named like a mask: NAME.0.png, NAME.1.png, ...")
        found.setdefault(stem, []).append((int(number), file))
    return {stem: [file for _, file in sorted(files)] for stem, files in found.items()}


def _score(
    files: Mapping[str, Path],
    truths: Mapping[str, Tensor],
    requests: Mapping[str, Request],
    backbones: Backbones,
    method: str,
) -> tuple[dict[str, Samples], dict[str, Tensor]]:
    """Measure a method's pictures, by the names in `COLUMNS`; and the pictures."""
    samples: dict[str, Samples] = {name: [] for name in COLUMNS}
    pictures: dict[str, Tensor] = {}
    for stem, truth in tqdm(truths.items(), desc=method):
        picture = _read(files[stem])
        if picture.shape != truth.shape:
            picture = resize(picture, list(truth.shape[1:]), antialias=True).clamp(0, 1)
        pictures[stem] = picture
        found = _against_request(picture, requests[stem], backbones)
        if method != TRUTH:
            found |= _against_truth(picture[None], truth[None], backbones)
        for name, sample in found.items():
            samples[name].append(sample)
    return samples, pictures


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
    picture: Tensor, request: Request, backbones: Backbones
) -> dict[str, tuple[float, ...]]:
    found: dict[str, tuple[float, ...]] = {"colorfulness": (float(colorfulness(picture[None])),)}
    if backbones.clip and request.text:
        found["CLIP score ↑"] = (backbones.clip(picture, request.text),)
    if request.objects:
        right = [color_matches(mean_lab(picture, mask), color) for color, mask in request.objects]
        hits = (float(sum(right)), float(len(right)))
        found["color accuracy ↑"] = hits
        if len({color for color, _ in request.objects}) > 1:
            found["binding ↑"] = hits
    return found


def _fid(
    backbones: Backbones, truths: Mapping[str, Tensor], pictures: Mapping[str, Tensor]
) -> dict[str, Estimate]:
    if backbones.inception is None or len(truths) < 2:
        return {}
    distance = frechet_distance(backbones.inception, list(truths.values()), list(pictures.values()))
    nothing = float("nan")  # a figure of the whole set: no scenes to draw again
    return {"FID ↓": Estimate(distance, nothing, nothing, len(truths))}


def _read(file: Path) -> Tensor:
    """A picture, 3,H,W in [0, 1]."""
    try:
        with Image.open(file) as opened:
            return pil_to_tensor(opened.convert("RGB")).float() / 255
    except OSError as error:
        raise CompareError(f"{file} cannot be read as a picture: {error}") from error
