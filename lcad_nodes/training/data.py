"""Batches of scenes, in an order that is a function of the step."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader

from ..evaluation.scenes import Scene, SceneBuilder
from .config import DataConfig

GOLDEN_RATIO = 0.6180339887498949
"""Its multiples spread scenes of one sort evenly among the others."""


@dataclass(frozen=True)
class Batch:
    """Pictures and what is said of them.

    Attributes:
        images: Bx3xHxW in [0, 1].
        texts: B descriptions, "" where there is none.
    """

    images: Tensor
    texts: list[str]


class _Scenes(torch.utils.data.Dataset[Scene]):
    def __init__(self, config: DataConfig) -> None:
        photos = [Path(photo) for photo in config.photos]
        self.builder = SceneBuilder(Path(config.stamps), photos, config.size, "train")
        self.config = config

    def __getitem__(self, index: int) -> Scene:
        seed = self.config.seed * 1_000_000_007 + index
        if index * GOLDEN_RATIO % 1 < self.config.simple:
            description = "full" if index % 8 else "none"
            return self.builder.build(seed, objects=1, description=description)
        return self.builder.build(seed)


def _collate(scenes: list[Scene]) -> Batch:
    return Batch(torch.stack([s.image for s in scenes]), [s.text for s in scenes])


def scene_batches(
    config: DataConfig, batch: int, accelerator: Accelerator, first: int
) -> Iterator[Batch]:
    """Yield batches of scenes without end.

    Scene number n is the same in every run, so training goes on from any step as if it had never
    stopped, and several processes see together what one with their batches' sum would.

    Args:
        config: the data.
        batch: scenes a batch and process.
        accelerator: which process this is, and where batches go.
        first: number of batches to pass over.
    """

    def numbers() -> Iterator[list[int]]:
        step = first
        while True:
            start = (step * accelerator.num_processes + accelerator.process_index) * batch
            yield list(range(start, start + batch))
            step += 1

    loader = DataLoader(
        _Scenes(config),
        batch_sampler=numbers(),  # pyright: ignore[reportArgumentType]
        num_workers=config.workers,
        collate_fn=_collate,
        worker_init_fn=_one_thread,
        generator=torch.Generator(),  # its own, so that the noise does not depend on restarts
    )
    for item in loader:
        yield Batch(item.images.to(accelerator.device), item.texts)


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)
