"""What came of a comparison: figures, paired differences, notes, and the files they go into."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path

import numpy as np

from .bootstrap import Estimate, Statistic, difference, estimate, mean, ratio
from .matching import TRUTH
from .naming import Name
from .report import Figures, Tile, as_csv, escaped, figures_csv, sheet, table, write_report

PSNR, SSIM, LPIPS, FID = "PSNR, dB ↑", "SSIM ↑", "LPIPS ↓", "FID ↓"
CLIP_SCORE, COLORFULNESS, DELTA_E = "CLIP score ↑", "colorfulness", "ΔE2000 ↓"
ACCURACY, BINDING = "color accuracy ↑", "binding ↑"
COLUMNS: dict[str, tuple[Statistic, str]] = {
    PSNR: (mean, "{:.2f}"),
    SSIM: (mean, "{:.4f}"),
    LPIPS: (mean, "{:.4f}"),
    FID: (mean, "{:.2f}"),
    CLIP_SCORE: (mean, "{:.2f}"),
    COLORFULNESS: (mean, "{:.2f}"),
    DELTA_E: (mean, "{:.2f}"),
    ACCURACY: (ratio, "{:.1%}"),
    BINDING: (ratio, "{:.1%}"),
}
INTERVALS = (
    "In brackets: 95 % bootstrap intervals over photographs, all pictures of one drawn together. "
    "Those of differences are paired: both methods have the same photographs in every draw."
)


@dataclass(frozen=True)
class Score:
    """What was measured of one picture.

    Attributes:
        name: which picture.
        method: whose.
        figure: one of `COLUMNS`.
        sample: the value; of color accuracy and binding, hits and objects.
    """

    name: Name
    method: str
    figure: str
    sample: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """The outcome.

    Attributes:
        figures: of every method and of the truth.
        differences: of every other method to the first one, as `other - first`.
        notes: a sentence for everything that is missing, left out or made to fit.
        scores: of every picture.
        tiles: the sheet's rows.
    """

    figures: Figures
    differences: Figures
    notes: tuple[str, ...]
    scores: Sequence[Score]
    tiles: Sequence[Sequence[Tile]]

    def write(self, out: Path) -> str:
        """Write the outcome into a folder; the tables and the notes.

        `comparison.md`, `comparison.csv` and `comparison.png` are what is found, `pictures.csv`
        what was measured of every picture.

        Raises:
            ReportError: a file cannot be written; the others are, and the message has the text.
        """
        forms = {column: form for column, (_, form) in COLUMNS.items()}
        signed = {column: form.replace(":", ":+") for column, form in forms.items()}
        tables = [table("method", self.figures, forms)]
        if self.differences:
            tables.append(table("difference", self.differences, signed))
        notes = "\n".join(f"- {escaped(note)}" for note in self.notes)
        text = "\n\n".join([*tables, f"{notes}\n"])
        files = {
            "comparison.md": text,
            "comparison.csv": figures_csv({**self.figures, **self.differences}),
            "pictures.csv": _scores_csv(self.scores),
            "comparison.png": sheet(self.tiles),
        }
        return write_report(text, out, files)


def summarize(
    scores: Sequence[Score], methods: Sequence[str], fid: Mapping[str, Estimate]
) -> tuple[Figures, Figures]:
    """The figures of the truth and of all methods, and the differences of the others to the first.

    Args:
        scores: of all pictures, in one order for all methods, and of the same ones in a figure.
        methods: in their order.
        fid: by method; empty where there is none.
    """
    measured: dict[str, dict[str, list[Score]]] = {method: {} for method in (TRUTH, *methods)}
    for score in scores:
        measured[score.method].setdefault(score.figure, []).append(score)
    first, *others = methods
    figures: dict[str, dict[str, Estimate]] = {method: {} for method in measured}
    differences: dict[str, dict[str, Estimate]] = {f"{other} - {first}": {} for other in others}
    for method, found in measured.items():
        for figure, own in found.items():
            statistic, _ = COLUMNS[figure]
            samples = [score.sample for score in own]
            photographs = [score.name.photograph for score in own]
            figures[method][figure] = estimate(samples, statistic, photographs)
            if method in others:
                pairs = zip(samples, measured[first][figure], strict=True)
                paired = [(*sample, *other.sample) for sample, other in pairs]
                differences[f"{method} - {first}"][figure] = estimate(
                    paired, difference(statistic), photographs
                )
    for method, found in fid.items():
        figures[method][FID] = found
        if method in others:
            value = found.value - fid[first].value
            differences[f"{method} - {first}"][FID] = Estimate(value, nan, nan, found.count)
    return figures, differences


def _scores_csv(scores: Sequence[Score]) -> str:
    header = ["picture", "photograph", "method", "figure", "value", "hits", "count"]
    rows: list[Sequence[object]] = [header]
    for score in scores:
        value = float(COLUMNS[score.figure][0](np.array(score.sample)))
        counts = score.sample if COLUMNS[score.figure][0] is ratio else ("", "")
        names = (str(score.name), score.name.photograph, score.method, score.figure)
        rows.append([*names, value, *counts])
    return as_csv(rows)
