"""What each part of the method is worth: taken out, or set otherwise, one at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from time import perf_counter

from torch import Tensor
from tqdm import tqdm

from ..color.lab import gray, lightness
from ..color.measures import psnr, ssim
from ..scenes.builder import Scene, SceneBuilder
from .bootstrap import Estimate, Means, Statistic, estimate, mean, ratio
from .colorizer import Colorizer, Guide, guide, unguided, without_luminance
from .report import Tile, figures_csv, sheet, table, tile, write_report
from .scoring import Samples, column, error, hits, in_batches, named, stack

BATCH = 8
SIDE = 256
"""Side of the scenes, in px."""
SHOWN = 6
"""Scenes on the sheet."""


@dataclass(frozen=True)
class Variation:
    """The model as it is, but for one thing.

    Attributes:
        name: what is different.
        guiding: how attention is guided.
        unet_reads: whether the UNet's first convolution gets luminance; if not, its weights for
            it count as zero.
        decoder_reads: whether the decoder gets luminance.
        plain_l1: whether the model is the one that was trained without the artifact map.
    """

    name: str
    guiding: Guide = field(default_factory=guide)
    unet_reads: bool = True
    decoder_reads: bool = True
    plain_l1: bool = False


VARIATIONS = (
    Variation("as it is: fast, sum, strength 3"),
    Variation("without luminance in the decoder", decoder_reads=False),
    Variation("plain L1 instead of the artifact map", plain_l1=True),
    Variation("without the extended convolution", unet_reads=False),
    Variation("without instance-aware sampling (strength 0)", unguided()),
    *(Variation(f"fast, sum, strength {s:g}", guide(s)) for s in (1, 2, 5, 8, 10)),
    *(Variation(f"reference, sum, strength {s:g}", guide(s, mode="reference")) for s in (3, 10)),
    *(Variation(f"fast, mean, strength {s:g}", guide(s, reduction="mean")) for s in (10, 3000)),
    *(
        Variation(f"fast, sum, strength 3, from {a:.0%} to {b:.0%}", guide(start=a, end=b))
        for a, b in ((0.0, 0.25), (0.0, 0.5), (0.5, 1.0))
    ),
)
BINDING, CHANGE = "binding", "binding less that of the first row"


def _change(means: Means) -> Means:
    return (means[..., 0] - means[..., 2]) / means[..., 1]


COLUMNS: dict[str, tuple[Statistic, str]] = {
    BINDING: (ratio, "{:.1%}"),
    CHANGE: (_change, "{:+.1%}"),
    "ΔE2000 to the truth": (mean, "{:.2f}"),
    "autoencoder's PSNR, dB": (mean, "{:.2f}"),
    "autoencoder's SSIM of L": (mean, "{:.4f}"),
    "seconds a picture": (mean, "{:.2f}"),
}
NOTE = (
    "In brackets: 95 % intervals over scenes; all rows have the same scenes and the same noise. Of "
    "two rows, the differences tell more than the overlap of intervals. Parts are taken out of "
    "the trained model, which is not trained again without them, but for the row of plain L1."
)


@dataclass(frozen=True)
class Ablated:
    """What was measured of a variation; nothing where its model was not given.

    Attributes:
        variation: which.
        samples: by the names in `COLUMNS`.
        pictures: the first ones.
    """

    variation: Variation
    samples: dict[str, Samples] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    pictures: list[Tensor] = field(default_factory=list)

    def figures(self, first: "Ablated") -> dict[str, Estimate]:
        """The variation's figures, by the names in `COLUMNS`, one of them beside the first's."""
        pairs = zip(self.samples[BINDING], first.samples[BINDING], strict=False)
        samples = self.samples | {CHANGE: [(*own, other[0]) for own, other in pairs]}
        return {
            name: estimate(samples[name], statistic)
            for name, (statistic, _) in COLUMNS.items()
            if samples[name]
        }


@dataclass(frozen=True)
class Ablations:
    """All variations, and the scenes on the sheet."""

    ablated: tuple[Ablated, ...]
    shown: Sequence[Scene]


def measure(
    colorizer: Colorizer,
    plain_l1: Colorizer | None,
    stamps: Sequence[Path],
    photos: Sequence[Path],
    count: int,
    variations: Sequence[Variation] = VARIATIONS,
) -> Ablations:
    """Measure every variation on the same held-out scenes of two or three objects of one kind.

    Args:
        colorizer: the model.
        plain_l1: one that was trained with plain L1 in place of the artifact map, if there is one.
        stamps: folders of cut-outs.
        photos: photographs, or folders of them.
        count: how many scenes.
        variations: which.
    """
    builder = SceneBuilder(stamps, photos, SIDE, "held_out")
    scenes = [
        builder.build(n, objects=2 + n % 2, kinds="same", description="full") for n in range(count)
    ]
    ablated = tuple(map(Ablated, variations))
    for seed, batch in enumerate(tqdm(list(in_batches(scenes, BATCH)))):
        for model, is_plain in ((colorizer, False), (plain_l1, True)):
            its_own = [one for one in ablated if one.variation.plain_l1 == is_plain]
            if model is not None and its_own:
                _add(model, batch, seed, its_own)
    return Ablations(ablated, scenes[:SHOWN])


def _add(model: Colorizer, scenes: Sequence[Scene], seed: int, ablated: Sequence[Ablated]) -> None:
    """Measure one model's variations on a batch."""
    images, texts = stack(scenes)
    read = model.read(images)
    unread = without_luminance(read)
    objects = [named(scene) for scene in scenes]

    @cache
    def fidelity(decoder_reads: bool) -> tuple[Samples, Samples]:
        """PSNR and SSIM of the autoencoder, which no other part has a say in."""
        decoded = model.reconstruct(images, decoder_reads)
        similarity = ssim(lightness(decoded), lightness(images), 100.0)
        return column(psnr(decoded, images)), column(similarity)

    for one in ablated:
        variation = one.variation
        seen = read if variation.unet_reads else read._replace(features=unread.features)
        start = perf_counter()
        latents = model.sample_guided(seen, texts, objects, variation.guiding, seed)
        seconds = (perf_counter() - start) / len(scenes)
        pictures = model.decode(latents, read if variation.decoder_reads else unread)
        fidelities = fidelity(variation.decoder_reads)
        measured = (hits(scenes, pictures), error(scenes, pictures), *fidelities, [(seconds,)])
        names = (name for name in COLUMNS if name != CHANGE)
        for name, samples in zip(names, measured, strict=True):
            one.samples[name].extend(samples)
        one.pictures.extend(pictures[: SHOWN - len(one.pictures)])


def write(ablations: Ablations, out: Path) -> str:
    """Write `ablations.md`, `ablations.csv` and `ablations.png` into a folder; the table.

    Raises:
        ReportError: a file cannot be written; the others are, and the message has the table.
    """
    first, *_ = ablations.ablated
    figures = {one.variation.name: one.figures(first) for one in ablations.ablated}
    forms = {column: form for column, (_, form) in COLUMNS.items()}
    text = f"{table('variation', figures, forms)}\n\n{NOTE}\n"
    files = {
        "ablations.md": text,
        "ablations.csv": figures_csv(figures),
        "ablations.png": sheet([_tiles(ablations, n) for n in range(len(ablations.shown))]),
    }
    return write_report(text, out, files)


def _tiles(ablations: Ablations, number: int) -> list[Tile]:
    """A scene's row of the sheet."""
    scene = ablations.shown[number]
    photo = gray(lightness(scene.image[None]))[0]
    made = [
        tile(one.pictures[number], one.variation.name) for one in ablations.ablated if one.pictures
    ]
    return [tile(photo, scene.text), tile(scene.image, "truth"), *made]
