"""Sampling computes what the guidance scale has something to amplify in, and no more."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from lcad_nodes.host.conditioning import Conditioning
from lcad_nodes.host.loading import Checkpoint, load_checkpoint
from lcad_nodes.host.luminance import Luminance, encode_luminance
from lcad_nodes.host.sampling import SamplerSettings, sample, sample_as_published

Sampled = Callable[[ModelPatcher, Conditioning, Conditioning, Luminance], dict[str, Tensor]]


def as_the_host_does(
    model: ModelPatcher, positive: Conditioning, negative: Conditioning, luminance: Luminance
) -> dict[str, Tensor]:
    settings = SamplerSettings(1, 3, 4.0, "euler", "normal", 1.0)
    return sample(model, positive, negative, luminance, settings)


def as_published(
    model: ModelPatcher, positive: Conditioning, negative: Conditioning, luminance: Luminance
) -> dict[str, Tensor]:
    return sample_as_published(model, positive, negative, luminance, seed=1, steps=3, cfg=4.0)


@pytest.fixture(scope="module")
def loaded(small_checkpoint: Path) -> Checkpoint:
    return load_checkpoint(str(small_checkpoint))


@pytest.fixture(scope="module")
def luminance(loaded: Checkpoint) -> Luminance:
    with torch.inference_mode():
        return encode_luminance(loaded.encoder, torch.rand(2, 3, 130, 140), 96)


@pytest.fixture
def watched(loaded: Checkpoint) -> tuple[ModelPatcher, list[int]]:
    """The model, and how many latents its UNet has read in each step."""
    model, read = loaded.model.clone(), []

    def count(unet: Callable[..., Tensor], args: Any) -> Tensor:
        read.append(len(args["input"]))
        return unet(args["input"], args["timestep"], **args["c"])

    model.set_model_unet_function_wrapper(count)
    return model, read


def encoded(loaded: Checkpoint, text: str) -> Conditioning:
    assert loaded.clip is not None
    return loaded.clip.encode_from_tokens_scheduled(loaded.clip.tokenize(text))


@pytest.mark.parametrize("sampled", [as_the_host_does, as_published])
@torch.inference_mode()
def test_without_words_a_photo_is_read_once_a_step_and_its_colors_stay_the_same(
    loaded: Checkpoint,
    luminance: Luminance,
    watched: tuple[ModelPatcher, list[int]],
    sampled: Sampled,
) -> None:
    """They are those that the same prompt twice gives where a patch wants both."""
    model, read = watched
    found = sampled(model, encoded(loaded, ""), encoded(loaded, ""), luminance)["samples"]
    assert read == [2, 2, 2]
    read.clear()
    model.set_model_sampler_cfg_function(
        lambda args: args["uncond"] + args["cond_scale"] * (args["cond"] - args["uncond"])
    )
    both = sampled(model, encoded(loaded, ""), encoded(loaded, ""), luminance)["samples"]
    assert sum(read) == 12
    torch.testing.assert_close(found, both, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampled", [as_the_host_does, as_published])
@pytest.mark.parametrize(("text", "more"), [("a red cup", {}), ("", {"strength": 0.5})])
@torch.inference_mode()
def test_prompts_that_differ_in_words_or_in_what_they_carry_are_both_read(
    loaded: Checkpoint,
    luminance: Luminance,
    watched: tuple[ModelPatcher, list[int]],
    sampled: Sampled,
    text: str,
    more: dict[str, float],
) -> None:
    model, read = watched
    positive = [(prompt, values | more) for prompt, values in encoded(loaded, text)]
    sampled(model, positive, encoded(loaded, ""), luminance)
    assert sum(read) == 12
