"""Batches of samples, in an order that is a function of the step."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader

from ..config import DataConfig
from .photos import PhotoFolder
from .pictures import Sample, Skipped
from .scenes import Scenes
from .shards import Shards

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """Pictures and what is said of them.

    Attributes:
        images: Bx3xHxW in [0, 1].
        texts: B descriptions, "" where there is none.
        numbers: B, int64 on the CPU: which draw of the whole training each is, over all
            processes; noise is a function of it.
        objects: of each picture, phrases of its description with their masks; photos have none.
    """

    images: Tensor
    texts: list[str]
    numbers: Tensor
    objects: Sequence[tuple[tuple[str, Tensor], ...]]


def batches(
    config: DataConfig, batch: int, accelerator: Accelerator, first: int
) -> Iterator[Batch]:
    """Yield batches without end.

    Sample number n is the same in every run, so training goes on from any step as if it had never
    stopped, and several processes see together what one with their batches' sum would (of shards:
    each process its own).

    Args:
        config: the data.
        batch: samples a batch and process.
        accelerator: which process this is, and where batches go.
        first: number of batches to pass over.
    """
    seen: set[str] = set()
    for step, drawn in enumerate(_loader(config, batch, accelerator, first), first):
        for skipped in drawn.skipped:
            if skipped.name not in seen:
                seen.add(skipped.name)
                logger.warning(
                    "skipped %s (%s); %d so far", skipped.name, skipped.reason, len(seen)
                )
        yield Batch(
            drawn.images.to(accelerator.device),
            drawn.texts,
            draw_numbers(step, batch, accelerator),
            [tuple((phrase, drawn.masks[mask]) for phrase, mask in some) for some in drawn.objects],
        )


def draw_numbers(step: int, batch: int, accelerator: Accelerator) -> Tensor:
    """Number this process's share of a step's draws, counted over all processes and steps."""
    start = (step * accelerator.num_processes + accelerator.process_index) * batch
    return torch.arange(start, start + batch)


@dataclass(frozen=True)
class _Drawn:
    """A batch's samples, their tensors in two: each takes a file descriptor to cross processes.

    Attributes:
        images: Bx3xHxW in [0, 1].
        masks: of all objects, NxHxW.
        texts: B descriptions.
        objects: of each sample, phrases with the numbers of their masks.
        skipped: pictures that could not be read.
    """

    images: Tensor
    masks: Tensor
    texts: list[str]
    objects: list[list[tuple[str, int]]]
    skipped: list[Skipped]


def _collate(samples: Sequence[Sample]) -> _Drawn:
    numbers = count()
    masks = [mask for sample in samples for _, mask in sample.objects]
    return _Drawn(
        torch.stack([sample.image for sample in samples]),
        torch.stack(masks) if masks else torch.empty(0),
        [sample.text for sample in samples],
        [[(phrase, next(numbers)) for phrase, _ in sample.objects] for sample in samples],
        [skipped for sample in samples for skipped in sample.skipped],
    )


def _loader(
    config: DataConfig, batch: int, accelerator: Accelerator, first: int
) -> DataLoader[Any]:
    def numbers() -> Iterator[list[int]]:
        step = first
        while True:
            yield draw_numbers(step, batch, accelerator).tolist()
            step += 1

    reader = (accelerator.process_index, accelerator.num_processes)
    if config.shards:
        source = Shards(config, batch, reader, first)
        order = {"batch_size": batch}
    else:
        source = PhotoFolder(config) if config.folder else Scenes(config)
        order = {"batch_sampler": numbers()}
    return DataLoader(
        source,
        **order,  # pyright: ignore[reportArgumentType]
        num_workers=config.workers,
        collate_fn=_collate,
        worker_init_fn=_one_thread,
        generator=torch.Generator(),  # its own: a restart changes nothing else that is random
    )


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)
