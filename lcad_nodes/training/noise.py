"""Chance that depends on the draw alone, not on processes, restarts or devices."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

COARSE = (1, 2, 4)
"""Sides of the grids that noise in blobs is enlarged from."""


def draws(
    numbers: Tensor, shape: torch.Size, seed: int, offset: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Draw a uniform number and standard normal noise for each row of a batch.

    A row's draws are a function of its number: as many processes as there may be, in how many
    parts a step is taken, and wherever training goes on, they are the same.

    Args:
        numbers: B, int64.
        shape: of the batch that needs noise, B first.
        seed: of the whole training.
        offset: standard deviation of what is added to the noise of large areas: of the whole
            picture, its quarters and its sixteenths.

    Returns:
        B in [0, 1), and noise of `shape`; both on the CPU.
    """
    uniform, noise = [], []
    for number in numbers.tolist():
        generator = torch.Generator().manual_seed(seed * 1_000_000_007 + number)
        uniform.append(torch.rand((), generator=generator))
        white = torch.randn(shape[1:], generator=generator)
        noise.append(white + offset * _blobs(shape[1:], generator) if offset else white)
    return torch.stack(uniform), torch.stack(noise)


def _blobs(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Draw the sum of coarse noises, each enlarged smoothly; CxHxW."""
    channels, *size = shape
    grids = (torch.randn(1, channels, side, side, generator=generator) for side in COARSE)
    enlarged = [interpolate(grid, size, mode="bilinear") for grid in grids]
    return torch.cat(enlarged).sum(dim=0)
