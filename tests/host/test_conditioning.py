"""Prompts with photos, in the nodes of the host that train."""

from pathlib import Path
from typing import Any

import pytest
import torch
from comfy_extras.nodes_train import TrainLoraNode
from torch import Tensor

from lcad_nodes.host.conditioning import Conditioning, ConditioningError, add_luminance
from lcad_nodes.host.loading import Checkpoint, load_checkpoint
from lcad_nodes.host.luminance import encode_luminance

PHOTOS = torch.rand(2, 3, 64, 64, generator=torch.manual_seed(0))


@pytest.fixture(scope="module")
def loaded(small_checkpoint: Path) -> Checkpoint:
    return load_checkpoint(str(small_checkpoint))


def prompt(loaded: Checkpoint, photos: Tensor) -> Conditioning:
    clip: Any = loaded.clip
    encoded = clip.encode_from_tokens_scheduled(clip.tokenize("a red car"))
    return add_luminance(encoded, encode_luminance(loaded.encoder, photos, 0))


def train(loaded: Checkpoint, *positive: Conditioning, batch_size: int = 1) -> float:
    """Train a LoRA for one step, on colors of both photos; the node takes lists of all inputs."""
    torch.manual_seed(0)
    colors = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    settings = {
        "batch_size": batch_size,
        "steps": 1,
        "grad_accumulation_steps": 1,
        "learning_rate": 1e-4,
        "rank": 1,
        "optimizer": "SGD",
        "loss_function": "MSE",
        "seed": 0,
        "training_dtype": "fp32",
        "lora_dtype": "fp32",
        "quantized_backward": False,
        "algorithm": "LoRA",
        "gradient_checkpointing": False,
        "checkpoint_depth": 1,
        "offloading": False,
        "existing_lora": "[None]",
        "bucket_mode": False,
        "bypass_mode": False,
    }
    inputs = {name: [value] for name, value in settings.items()}
    inputs |= {
        "model": [loaded.model],
        "latents": [{"samples": colors}],
        "positive": list(positive),
    }
    _, losses, _ = TrainLoraNode.execute(**inputs).args
    return losses["loss"][0]


@torch.inference_mode()
def test_training_goes_through_photos_one_by_one_with_a_prompt_for_each(
    loaded: Checkpoint,
) -> None:
    """The host would take a prompt's first photo for all, and the mean of a batch's prompts."""
    first, second = (prompt(loaded, photo) for photo in PHOTOS.split(1))
    with pytest.raises(ConditioningError, match="training needs one prompt for each photo"):
        train(loaded, prompt(loaded, PHOTOS))
    with pytest.raises(ConditioningError, match="batch_size is 2, but the photos of a batch"):
        train(loaded, first, second, batch_size=2)
    assert train(loaded, first, second) != train(loaded, second, first)
    assert train(loaded, first, batch_size=2) > 0
