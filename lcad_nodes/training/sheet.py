"""A sheet of sample pictures: how far training has come, to the eye."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from accelerate import Accelerator
from torch import Tensor

from ..scenes.builder import Scene, contact_sheet
from .config import DataConfig
from .data.batches import Batch, batches

COUNT = 8
PER_LINE = 2
"""Rows of pictures side by side."""
LEAST_SIDE = 192


@dataclass(frozen=True)
class Row:
    """One picture in several states.

    Attributes:
        text: its description.
        images: 3xHxW each, in about [0, 1].
    """

    text: str
    images: Sequence[Tensor]


def first_batch(config: DataConfig, accelerator: Accelerator) -> Batch:
    """Return a few pictures, always the same; scenes among them are never trained on."""
    unseen = replace(config, seed=config.seed + 1, workers=0)
    return next(batches(unseen, COUNT, accelerator, 0))


def save_sheet(rows: Sequence[Row], path: Path) -> None:
    """Write the sheet, the description below each row's first picture."""
    cells = [
        Scene(_legible(image).clamp(0, 1).float().cpu(), row.text if index == 0 else "", ())
        for row in rows
        for index, image in enumerate(row.images)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(cells, PER_LINE * len(rows[0].images)).save(path)


def _legible(image: Tensor) -> Tensor:
    """Enlarge small pictures, so that there is room for the text below."""
    factor = -(-LEAST_SIDE // image.shape[-1])
    return image.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
