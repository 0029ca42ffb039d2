"""Sampling as training shows it."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from lcad_nodes.training.sampling import GUIDANCE, sample


def _unet(inputs: Tensor, _t: Tensor, context: Tensor) -> Any:
    """Predicts what it is told."""
    return SimpleNamespace(sample=context.mean(dim=(1, 2))[:, None, None, None] * inputs[:, :4])


def test_guidance_leads_from_nothing_said_to_what_is_said_and_beyond() -> None:
    unet: Any = _unet
    luminance = torch.zeros(2, 8, 4, 4)

    def sampled(said: float, nothing: float) -> Tensor:
        contexts = torch.full((2, 77, 1), said), torch.full((1, 77, 1), nothing)
        return sample(unet, luminance, *contexts)

    beyond = 0.2 + GUIDANCE * (0.4 - 0.2)
    assert torch.allclose(sampled(0.4, 0.2), sampled(beyond, beyond), atol=1e-5)
    assert not torch.allclose(sampled(0.4, 0.2), sampled(0.2, 0.4), atol=0.1)
