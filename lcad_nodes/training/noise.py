"""Chance that depends on the draw alone, not on processes, restarts or devices."""

import torch
from torch import Tensor


def draws(numbers: Tensor, shape: torch.Size, seed: int) -> tuple[Tensor, Tensor]:
    """Draw a uniform number and standard normal noise for each row of a batch.

    A row's draws are a function of its number: as many processes as there may be, in how many
    parts a step is taken, and wherever training goes on, they are the same.

    Args:
        numbers: B, int64.
        shape: of the batch that needs noise, B first.
        seed: of the whole training.

    Returns:
        B in [0, 1), and noise of `shape`; both on the CPU.
    """
    uniform, noise = [], []
    for number in numbers.tolist():
        generator = torch.Generator().manual_seed(seed * 1_000_000_007 + number)
        uniform.append(torch.rand((), generator=generator))
        noise.append(torch.randn(shape[1:], generator=generator))
    return torch.stack(uniform), torch.stack(noise)
