"""Folders of results of any methods, scored side by side."""

from collections import defaultdict
from collections.abc import Sequence
from math import isfinite, nan

from torch import Tensor
from tqdm import tqdm

from ..color.lab import gray, lightness
from ..color.measures import color_difference, colorfulness, psnr, ssim
from ..color.names import judge_objects
from .bootstrap import Estimate
from .comparison import (
    ACCURACY,
    BINDING,
    CLIP_SCORE,
    COLORFULNESS,
    DELTA_E,
    INTERVALS,
    LPIPS,
    PSNR,
    SSIM,
    Comparison,
    Score,
    summarize,
)
from .matching import TRUTH, Files, Request, match
from .metrics import Backbones, FrechetDistance
from .naming import CompareError
from .reading import Pictures, read
from .report import Tile, tile

SHOWN = 16
"""Rows on the sheet."""
SAME = "equal to the truth, so that PSNR, which is infinite, leaves them out for every method"
COLORLESS = "gray, so that any color counts as an error there"
TONES = 2 / 255
"""How far the channels of a gray photograph may be apart, as JPEG leaves them."""
LISTED = 10
"""Names that a note gives at most, of pictures that were scored."""

Measured = dict[str, tuple[float, ...]]
"""What was measured of a picture, by the names of the figures."""


def compare(files: Files, backbones: Backbones, side: int | None = None) -> Comparison:
    """Score every folder on what all of them have, and what can be read in all.

    What belongs together is said at `match`. Pictures are read one photograph at a time, however
    many there are. Of phrases with masks, those are scored that name one of the eleven basic
    colors, and no other.

    Args:
        files: which.
        backbones: the trained networks that are there.
        side: in px, of the squares that all pictures and masks are scaled to before anything is
            measured; None: results are scaled to the size of their truth.

    Raises:
        CompareError: the side is too short, nothing can be scored, or as `match`.
        CaptionsError: as `match`.
    """
    if side is not None and side < backbones.least:
        raise CompareError(f"--size is {side} px; the figures need {backbones.least} px or more.")
    requests, missing = match(files)
    scoring = _Scoring(backbones, side)
    for request in tqdm(requests, desc="scoring"):
        scoring.add(request)
    if not scoring.count:
        raise CompareError("\n".join(["No photograph can be scored.", *scoring.refused]))
    methods = list(requests[0].results)
    figures, differences = summarize(scoring.scores, methods, scoring.distances(methods))
    notes = (scoring.extent(), INTERVALS, *missing, *scoring.notes(), *backbones.missing)
    return Comparison(figures, differences, notes, scoring.scores, scoring.tiles)


class _Scoring:
    """What was measured so far.

    Attributes:
        count: how many pictures were scored.
        scores: of every picture.
        refused: a sentence for everything that could not be scored.
        tiles: the sheet's rows.
    """

    def __init__(self, backbones: Backbones, side: int | None) -> None:
        self.count = 0
        self.scores: list[Score] = []
        self.refused: list[str] = []
        self.tiles: list[list[Tile]] = []
        self._photographs: set[str] = set()
        self._peculiar = defaultdict[tuple[str, str], list[str]](list)
        self._backbones, self._side = backbones, side
        self._fid = FrechetDistance(backbones.inception) if backbones.inception else None

    def add(self, request: Request) -> None:
        """Score what all methods made of a request, unless a file of it cannot be used."""
        try:
            pictures = read(request, self._side, self._backbones.least)
        except CompareError as error:
            self.refused.append(f"{request.name} is not scored: {error}")
            return
        if request.name.photograph not in self._photographs:
            self._add_photograph(request.name.photograph, pictures.truth)
        self.count += 1
        self._measure(request, pictures)
        for method, how in pictures.fitted.items():
            self._peculiar[method, how].append(str(request.name))
        if self._fid:
            for method, picture in pictures.results.items():
                self._fid.add(method, picture)
        if len(self.tiles) < SHOWN:
            self.tiles.append(_tiles(request, pictures))

    def _add_photograph(self, name: str, truth: Tensor) -> None:
        self._photographs.add(name)
        if (truth.amax(dim=0) - truth.amin(dim=0)).max() <= TONES:
            self._peculiar[TRUTH, COLORLESS].append(name)
        if self._fid:
            self._fid.add_true(truth)

    def _measure(self, request: Request, pictures: Pictures) -> None:
        truth, backbones = pictures.truth, self._backbones
        measured = {TRUTH: _against_request(truth, request, pictures.masks, backbones)}
        for method, picture in pictures.results.items():
            measured[method] = _against_truth(picture[None], truth[None], backbones)
            measured[method] |= _against_request(picture, request, pictures.masks, backbones)
        same = [method for method in pictures.results if not isfinite(*measured[method][PSNR])]
        for method in same:
            self._peculiar[method, SAME].append(str(request.name))
        self.scores += [
            Score(request.name, method, figure, sample)
            for method, found in measured.items()
            for figure, sample in found.items()
            if not (same and figure == PSNR)  # every method's PSNR is over the same photographs
        ]

    def distances(self, methods: Sequence[str]) -> dict[str, Estimate]:
        """FID by method: a figure of the whole set, so that there is nothing to draw again."""
        if not self._fid or len(self._photographs) < 2:
            return {}
        return {name: Estimate(self._fid.distance(name), nan, nan, self.count) for name in methods}

    def extent(self) -> str:
        """How much was scored, and at which size."""
        at = (
            f"scaled to {self._side} x {self._side} px" if self._side else "at the truth's own size"
        )
        return f"Scored: {self.count} pictures of {len(self._photographs)} photographs, {at}."

    def notes(self) -> list[str]:
        """What was not scored, and what is to be known of the rest."""
        notes = list(self.refused)
        for (whose, what), names in self._peculiar.items():
            some = ", ".join(names[:LISTED]) + " and others" * (len(names) > LISTED)
            notes.append(f"Of {whose}, {len(names)} are {what}: {some}.")
        if self._fid and len(self._photographs) < 2:
            notes.append("FID is empty: it needs two photographs or more.")
        elif self._fid:
            notes.append(
                f"FID of {self.count} pictures: compare it only with FIDs of as many pictures "
                "and the same resizing."
            )
        return notes


def _against_truth(picture: Tensor, truth: Tensor, backbones: Backbones) -> Measured:
    found = {
        PSNR: psnr(picture, truth),
        SSIM: ssim(picture, truth, 1.0),
        DELTA_E: color_difference(picture, truth),
    }
    if backbones.lpips:
        found[LPIPS] = backbones.lpips(picture, truth)
    return {name: (float(value),) for name, value in found.items()}


def _against_request(
    picture: Tensor, request: Request, masks: Sequence[Tensor], backbones: Backbones
) -> Measured:
    found: Measured = {COLORFULNESS: (float(colorfulness(picture[None])),)}
    if backbones.clip and request.text:
        found[CLIP_SCORE] = (backbones.clip(picture, request.text),)
    # Where masks or phrases are none at all, there are no objects.
    judged = judge_objects(picture, zip(request.phrases, masks, strict=False))
    if judged:
        hits = (float(sum(right for _, right in judged)), float(len(judged)))
        found[ACCURACY] = hits
        if len({color for color, _ in judged}) > 1:
            found[BINDING] = hits
    return found


def _tiles(request: Request, pictures: Pictures) -> list[Tile]:
    """A row of the sheet."""
    black = gray(lightness(pictures.truth[None]))[0]
    words = request.text or str(request.name)
    row = [(words, black), (TRUTH, pictures.truth), *pictures.results.items()]
    return [tile(picture, text) for text, picture in row]
