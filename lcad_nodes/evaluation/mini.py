"""The targets of a small model, on objects and photographs that it was never trained on."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from tqdm import tqdm

from ..color.lab import gray, lightness
from ..color.lock import lock_lightness
from ..color.measures import colorfulness, psnr, ssim
from ..scenes.builder import Kinds, Scene, SceneBuilder
from ..scenes.described import describe_photos
from ..scenes.dressed import SKIN
from .bootstrap import Estimate, Means, Statistic, estimate, mean, ratio
from .colorizer import Colorizer, guide, unguided
from .report import Tile, figures_csv, markdown, sheet, tile, write_report
from .scoring import (
    Samples,
    column,
    hits,
    in_batches,
    inside,
    named,
    outside,
    recolored,
    stack,
    told_apart,
    told_in_order,
)

INF = float("inf")
BATCH = 8
SIDE = 256
"""Shorter side of the pictures, in px."""
SHOWN = 4
"""Scenes of each kind on the sheet."""


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        key: which samples it is computed from.
        name: what the figure is.
        statistic: how the figure follows from the samples.
        target: the least and the most that it should be; None: reported only.
        unit: "%" of a share, "points" of a difference of shares; both are given in hundredths.
    """

    key: str
    name: str
    statistic: Statistic
    target: tuple[float, float] | None
    unit: Literal["", "%", "points"] = ""

    def cells(self, found: Estimate) -> tuple[str, ...]:
        """The row as text: figure, value, interval, number of scenes, target, whether it is met."""
        ends = () if isnan(found.low) else (self._number(found.low), self._number(found.high))
        interval = " to ".join(ends)
        met = ""
        if self.target is not None:
            exact = round(found.value, 9)  # a difference of shares is off in its last digit
            met = "yes" if self.target[0] <= exact <= self.target[1] else "no"
        value = self._number(found.value)
        return (self.name, value, interval, str(found.count), self._target(), met)

    def _target(self) -> str:
        if self.target is None:
            return ""
        least, most = self.target
        if most == INF:
            return f"≥ {self._number(least)}"
        return f"{self._number(least)} to {self._number(most)}" if least else f"≤ {most:g}"

    def _number(self, value: float) -> str:
        return f"{100 * value:.1f} {self.unit}" if self.unit else f"{value:.4g}"


def _unguided(means: Means) -> Means:
    return means[..., 2] / means[..., 1]


def _gain(means: Means) -> Means:
    return ratio(means) - _unguided(means)


ROWS = (
    Row("one", "color accuracy, one object", ratio, (0.95, INF), unit="%"),
    Row("several", "color accuracy, 2-3 different objects, no masks", ratio, (0.85, INF), unit="%"),
    Row("unplaced", "the same, not told where they are", ratio, (0.85, INF), unit="%"),
    Row("unordered", "of these, told in another order than they lie in", ratio, None, unit="%"),
    Row("alike", "binding, 2-3 of one kind, masks and guidance", ratio, (0.95, INF), unit="%"),
    Row("alike", "the same without guidance", _unguided, None, unit="%"),
    Row("alike", "what guidance adds", _gain, (0.3, INF), unit="points"),
    Row(
        "masks alone",
        "binding, not told where they are, masks and guidance",
        ratio,
        (0.95, INF),
        unit="%",
    ),
    Row("masks alone", "the same without guidance", _unguided, None, unit="%"),
    Row("masks alone", "what guidance adds", _gain, (0.3, INF), unit="points"),
    Row(
        "misled",
        "of these, told in another order than they lie in, with guidance",
        ratio,
        None,
        unit="%",
    ),
    Row("misled", "the same without guidance", _unguided, None, unit="%"),
    Row("misled", "what guidance adds", _gain, None, unit="points"),
    Row("outside one", "mean ΔE2000 to the truth outside one object", mean, (0, 6)),
    Row("gray outside one", "the same of the gray photo", mean, None),
    Row("outside several", "mean ΔE2000 to the truth outside 2-3 objects", mean, (0, 6)),
    Row("gray outside several", "the same of the gray photo", mean, None),
    Row("lightness", "SSIM of the decoder's own lightness", mean, (0.97, INF)),
    Row("autoencoder", "autoencoder on true colors, PSNR in dB", mean, (30, INF)),
    Row("locked", "the same with the photo's lightness, PSNR in dB", mean, None),
    Row("colorfulness", "no description: colorfulness over the truth's", ratio, (0.75, 1.25)),
    Row("distinct", "distinct descriptions, distinct pictures", ratio, (1, INF), unit="%"),
    Row("repeated", "same description and seed, same picture", ratio, (1, INF), unit="%"),
    Row(
        "photograph",
        "color accuracy on held-out photographs of one thing",
        _unguided,
        None,
        unit="%",
    ),
    Row("photograph", "the same with mask and guidance", ratio, None, unit="%"),
    Row("held out", "binding on held-out photographs, masks and guidance", ratio, None, unit="%"),
    Row("held out", "the same without guidance", _unguided, None, unit="%"),
    Row(
        "trained on", "binding on photographs of the training set, guidance", ratio, None, unit="%"
    ),
    Row("trained on", "the same without guidance", _unguided, None, unit="%"),
    Row("people", "color accuracy of what 1-2 people wear", ratio, None, unit="%"),
    Row("skin", "mean ΔE2000 to the truth of their skin, of which nothing is said", mean, None),
    Row("gray skin", "the same of the gray photo", mean, None),
    Row("portraits", "no description: mean ΔE2000 to the truth of a person's skin", mean, None),
    Row("gray portraits", "the same of the gray photo", mean, None),
)


class Measurement:
    """Measures a model, batch by batch; batches of one seed start from the same noise.

    Attributes:
        samples: for every key of `ROWS`, what was measured so far: one sample a scene, or a
            photograph with all of its descriptions.
        tiles: rows of the sheet of scenes: the first of each kind.
        photographs: rows of the sheet of held-out photographs: all of them.
    """

    def __init__(self, colorizer: Colorizer) -> None:
        self._colorizer = colorizer
        self.samples: dict[str, Samples] = {row.key: [] for row in ROWS}
        self.tiles: list[list[Tile]] = []
        self.photographs: list[list[Tile]] = []

    def one(self, scenes: Sequence[Scene], seed: int) -> None:
        """Measure scenes of one object: its color, the rest, and what other words change."""
        images, texts = stack(scenes)
        luminance = self._colorizer.read(images)
        latents = self._colorizer.sample(luminance, texts, seed)
        pictures = self._colorizer.decode(latents, luminance)
        others = [recolored(scene) for scene in scenes]
        changed = self._colorizer.decode(self._colorizer.sample(luminance, others, seed), luminance)
        self.samples["one"] += hits(scenes, pictures)
        self._outside(scenes, pictures, "one")
        self.samples["distinct"] += told_apart(scenes, pictures, changed)
        own, photos = self._colorizer.own_lightness(latents, luminance)
        self.samples["lightness"] += column(ssim(own, photos, 100.0))
        again = zip(latents, self._colorizer.sample(luminance, texts, seed), strict=True)
        self.samples["repeated"] += [(float(torch.equal(*pair)), 1.0) for pair in again]
        self._show(scenes, (texts, pictures), (others, changed), seed=seed)

    def several(self, scenes: Sequence[Scene], seed: int) -> None:
        """Measure scenes of different objects, all described with their places, without masks."""
        pictures = self._described(scenes, seed)
        self.samples["several"] += hits(scenes, pictures)
        self._outside(scenes, pictures, "several")

    def unplaced(self, scenes: Sequence[Scene], seed: int) -> None:
        """Measure the same scenes described without places.

        Where things are told in the order that they lie in, a model may go by that; those that
        are not are measured apart, too.
        """
        samples = hits(scenes, self._described(scenes, seed))
        self.samples["unplaced"] += samples
        self.samples["unordered"] += _told_otherwise(scenes, samples)

    def alike(self, scenes: Sequence[Scene], seed: int) -> None:
        """Measure scenes of objects of one kind, their places told, with guidance and without."""
        self.samples["alike"] += self._with_and_without(scenes, seed)[0]

    def masks_alone(self, scenes: Sequence[Scene], seed: int) -> None:
        """Measure like `alike` scenes whose descriptions tell no places: masks alone do."""
        samples, _ = self._with_and_without(scenes, seed)
        self.samples["masks alone"] += samples
        self.samples["misled"] += _told_otherwise(scenes, samples)

    def photograph(self, scenes: Sequence[Scene], seed: int) -> None:
        """Measure a photograph of one thing under several descriptions."""
        self._show_photograph(scenes, self._of_one("photograph", scenes, seed))

    def held_out(self, scenes: Sequence[Scene], seed: int) -> None:
        """Measure a photograph of several things under several descriptions."""
        self._show_photograph(scenes, self._of_one("held out", scenes, seed))

    def trained_on(self, scenes: Sequence[Scene], seed: int) -> None:
        """Measure like `held_out` a photograph that training scenes were made of."""
        self._of_one("trained on", scenes, seed)

    def people(self, scenes: Sequence[Scene], seed: int) -> None:
        """Measure people: the colors of what they wear, and their skin."""
        pictures = self._described(scenes, seed)
        self.samples["people"] += hits(scenes, pictures)
        self._skin(scenes, pictures, "skin")

    def portraits(self, scenes: Sequence[Scene], seed: int) -> None:
        """Measure the skin of people of whom nothing is said."""
        self._skin(scenes, self._described(scenes, seed), "portraits")

    def undescribed(self, scenes: Sequence[Scene], seed: int) -> None:
        """Measure photographs of which nothing is said."""
        pictures = self._described(scenes, seed)
        pairs = torch.stack([colorfulness(pictures), colorfulness(stack(scenes)[0])], dim=1)
        self.samples["colorfulness"] += [(made, true) for made, true in pairs.tolist()]

    def autoencoder(self, scenes: Sequence[Scene], seed: int) -> None:
        """Measure what encoding and decoding true colors loses."""
        images, _ = stack(scenes)
        decoded = self._colorizer.reconstruct(images)
        locked = lock_lightness(decoded, lightness(images))
        self.samples["autoencoder"] += column(psnr(decoded, images))
        self.samples["locked"] += column(psnr(locked, images))
        self._show(scenes, ("autoencoder", decoded), ("lightness locked", locked), seed=seed)

    def figures(self) -> dict[Row, Estimate]:
        """Every row that was measured."""
        return {
            row: estimate(self.samples[row.key], row.statistic)
            for row in ROWS
            if self.samples[row.key]
        }

    def _described(self, scenes: Sequence[Scene], seed: int) -> Tensor:
        """Colorize by the description alone."""
        images, texts = stack(scenes)
        luminance = self._colorizer.read(images)
        pictures = self._colorizer.decode(self._colorizer.sample(luminance, texts, seed), luminance)
        self._show(scenes, (texts, pictures), seed=seed)
        return pictures

    def _outside(self, scenes: Sequence[Scene], pictures: Tensor, objects: str) -> None:
        """Compare what is outside the objects with the truth, and the gray photo with it too.

        Apart for one object and several: scenes of one number have the same background in both.
        """
        self.samples[f"outside {objects}"] += outside(scenes, pictures)
        self.samples[f"gray outside {objects}"] += outside(scenes, _gray_photos(scenes))

    def _skin(self, scenes: Sequence[Scene], pictures: Tensor, key: str) -> None:
        """Compare people's skin with the truth, and that of the gray photo with it too."""
        self.samples[key] += inside(scenes, pictures, SKIN)
        self.samples[f"gray {key}"] += inside(scenes, _gray_photos(scenes), SKIN)

    def _of_one(self, key: str, scenes: Sequence[Scene], seed: int) -> Tensor:
        """One sample of all colorings of a photograph: they are not independent of each other."""
        samples, pictures = self._with_and_without(scenes, seed)
        self.samples[key].append(tuple(map(sum, zip(*samples, strict=True))))
        return pictures

    def _with_and_without(self, scenes: Sequence[Scene], seed: int) -> tuple[Samples, Tensor]:
        """Hits with guidance, objects, and hits without; and the pictures with guidance."""
        images, texts = stack(scenes)
        luminance = self._colorizer.read(images)
        objects = [named(scene) for scene in scenes]
        guided, plain = (
            self._colorizer.decode(
                self._colorizer.sample_guided(luminance, texts, objects, how, seed), luminance
            )
            for how in (guide(), unguided())
        )
        self._show(scenes, (texts, guided), ("without guidance", plain), seed=seed)
        both = zip(hits(scenes, guided), hits(scenes, plain), strict=True)
        return [(*with_it, without) for with_it, (without, _) in both], guided

    def _show_photograph(self, scenes: Sequence[Scene], pictures: Tensor) -> None:
        """Put all colorings of a photograph on the sheet of photographs."""
        row = [tile(gray(lightness(scenes[0].image[None]))[0], "photo")]
        row += [tile(made, s.text) for made, s in zip(pictures, scenes, strict=True)]
        self.photographs.append(row)

    def _show(
        self, scenes: Sequence[Scene], *made: tuple[str | Sequence[str], Tensor], seed: int
    ) -> None:
        """Put the first scenes of a kind on the sheet: photo, truth, and what was made."""
        for number, scene in enumerate(scenes[:SHOWN] if seed == 0 else []):
            photo = gray(lightness(scene.image[None]))[0]
            row = [tile(photo, "photo"), tile(scene.image, "truth")]
            for texts, pictures in made:
                words = texts if isinstance(texts, str) else texts[number]
                row.append(tile(pictures[number], words or "no description"))
            self.tiles.append(row)


def _gray_photos(scenes: Sequence[Scene]) -> Tensor:
    """The scenes without color, Bx3xHxW."""
    return gray(lightness(stack(scenes)[0]))


def _told_otherwise(scenes: Sequence[Scene], samples: Samples) -> Samples:
    """Of samples, those of scenes whose things are told in another order than they lie in."""
    pairs = zip(scenes, samples, strict=True)
    return [sample for scene, sample in pairs if not told_in_order(scene)]


class KindError(ValueError):
    """There are no such rows."""


def measure(
    colorizer: Colorizer,
    stamps: Sequence[Path],
    photos: Sequence[Path],
    count: int,
    kinds: Sequence[str] = (),
    people: Sequence[Path] = (),
) -> Measurement:
    """Measure the rows of the table.

    Args:
        colorizer: the model.
        stamps: folders of cut-outs.
        photos: photographs, or folders of them.
        count: scenes a row; of outlined photographs, all that there are.
        kinds: what to measure, by the names of `Measurement`'s methods; each fills some rows, and
            what it gives does not depend on the others. Empty: all.
        people: folders of people (see `dressed.read_people`); none: their rows are left out.

    Raises:
        KindError: if one of them is none, or there is nothing to measure.
    """
    found = Measurement(colorizer)
    builder = SceneBuilder(stamps, photos, SIDE, "held_out", people)
    steps = _steps(found, builder, photos, count)
    if not people:
        del steps["people"], steps["portraits"]
    if unknown := sorted(set(kinds) - set(steps)):
        raise KindError(f"--kinds: there is no {unknown[0]!r}; there are {', '.join(steps)}")
    for kind in kinds or steps:
        step, batches, total = steps[kind]
        for seed, batch in enumerate(tqdm(batches, desc=kind, total=total)):
            step(batch, seed)
    if not any(found.samples.values()):
        raise KindError(
            "--kinds: nothing to measure, since segments.json outlines none of the photographs"
        )
    return found


def _steps(
    found: Measurement, builder: SceneBuilder, photos: Sequence[Path], count: int
) -> dict[str, tuple[Callable[[Sequence[Scene], int], None], Iterator[list[Scene]], int | None]]:
    """What there is to measure: how, in which batches, and how many these are, where known."""

    def one(n: int) -> Scene:
        return builder.build(n, objects=1, description="full")

    def natural(n: int) -> Scene:
        return builder.build(n, objects=0, description="none")

    def dressed(n: int) -> Scene:
        return builder.build(n, objects=1 + n % 2, kinds="people", description="full")

    def portrait(n: int) -> Scene:
        return builder.build(n, objects=1, kinds="people", description="none")

    def several(alike: Kinds, places: bool) -> Callable[[int], Scene]:
        return lambda n: builder.build(
            n, objects=2 + n % 2, kinds=alike, description="full", places=places
        )

    def drawn(build: Callable[[int], Scene]) -> tuple[Iterator[list[Scene]], int]:
        batches = (list(map(build, numbers)) for numbers in in_batches(range(count), BATCH))
        return batches, -(-count // BATCH)

    return {
        "one": (found.one, *drawn(one)),
        "several": (found.several, *drawn(several("different", True))),
        "unplaced": (found.unplaced, *drawn(several("different", False))),
        "alike": (found.alike, *drawn(several("same", True))),
        "masks_alone": (found.masks_alone, *drawn(several("same", False))),
        "undescribed": (found.undescribed, *drawn(natural)),
        "autoencoder": (found.autoencoder, *drawn(lambda n: natural(n) if n % 2 else one(n))),
        "photograph": (found.photograph, describe_photos(photos, "held_out", SIDE, [1]), None),
        "held_out": (found.held_out, describe_photos(photos, "held_out", SIDE, [2, 3]), None),
        "trained_on": (found.trained_on, describe_photos(photos, "train", SIDE, [2, 3]), None),
        "people": (found.people, *drawn(dressed)),
        "portraits": (found.portraits, *drawn(portrait)),
    }


def write(measurement: Measurement, out: Path) -> str:
    """Write `mini.md`, `mini.csv` and two sheets of pictures into a folder.

    Returns:
        The table as Markdown.

    Raises:
        ReportError: a file cannot be written; the others are, and the message has the table.
    """
    figures = measurement.figures()
    header = ("metric", "value", "95 % interval", "scenes", "target", "met")
    text = markdown(header, [row.cells(found) for row, found in figures.items()])
    by_key = defaultdict[str, dict[str, Estimate]](dict)
    for row, found in figures.items():
        by_key[row.key][row.name] = found
    files = {
        "mini.md": f"{text}\n",
        "mini.csv": figures_csv(by_key),
        "mini.png": sheet(measurement.tiles),
    }
    if measurement.photographs:
        files["photographs.png"] = sheet(measurement.photographs)
    return write_report(text, out, files)
