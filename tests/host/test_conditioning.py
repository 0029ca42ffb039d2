"""Prompts with photos, in nodes of the host that train, and whatever model samples them."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from comfy.samplers import CFGGuider, sampler_object
from comfy_extras.nodes_context_windows import ContextWindowsManualNode
from comfy_extras.nodes_custom_sampler import Guider_DualModel
from comfy_extras.nodes_train import TrainLoraNode
from torch import Tensor

from lcad_nodes.host.conditioning import (
    DIGESTS_KEY,
    Conditioning,
    ConditioningError,
    add_luminance,
)
from lcad_nodes.host.loading import Checkpoint, load_checkpoint
from lcad_nodes.host.luminance import encode_luminance
from lcad_nodes.host.origin import LAST_OUTPUT, Origin, set_origin
from lcad_nodes.host.sampling import SamplerSettings, sample, sample_as_published

REFUSED = pytest.raises(ConditioningError, match=r"encoder of small\.safetensors")
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


@torch.inference_mode()
def test_luminance_is_moved_to_the_models_device_once_for_all_prompts(loaded: Checkpoint) -> None:
    """Luminance is kept in main memory, from where the host would copy it for every step."""
    seen: list[Tensor] = []

    def look(executor: WrapperExecutor, noise: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
        guider: Any = executor.class_obj
        seen.extend(cond["noise_concat"] for conds in guider.conds.values() for cond in conds)
        return noise

    positive = negative = prompt(loaded, PHOTOS[:1])
    latent = torch.zeros(1, 4, 8, 8)
    model = loaded.model.clone()
    model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, "look", look)
    given = positive[0][1]["noise_concat"]
    for device in (given.device, torch.device("meta")):
        model.load_device = device
        guider = CFGGuider(model)
        guider.set_conds(positive, negative)
        guider.sample(latent, latent, sampler_object("euler"), torch.tensor([1.0, 0.0]))
    here, also_here, there, also_there = seen
    assert here is also_here is given
    assert there is also_there
    assert there.is_meta


def test_windows_of_a_repeated_batch_have_each_latents_own_photo_and_text(
    loaded: Checkpoint,
) -> None:
    windows: Any = ContextWindowsManualNode.execute(
        *(loaded.model, 3, 1, "standard_static", 1, False, "pyramid", 0, False)
    )
    start = torch.zeros(6, 4, 8, 8)
    noise = torch.randn(6, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    negative = prompt(loaded, PHOTOS)
    ((one, values),) = negative
    positive = [[torch.cat([one, -one]), values]]
    found = []
    for model in (loaded.model, windows.args[0]):
        guider = CFGGuider(model)
        guider.set_conds(positive, negative)
        sigmas = torch.tensor([10.0, 0.0])
        found.append(guider.sample(noise, start, sampler_object("euler"), sigmas))
    torch.testing.assert_close(*found, rtol=0, atol=1e-3)


def of_another_file(loaded: Checkpoint) -> ModelPatcher:
    """The model as if another file's encoder went with it."""
    other = loaded.model.clone()
    weight = {LAST_OUTPUT: torch.full_like(loaded.encoder.model.zero_conv_mid2.weight, 7.0)}
    set_origin(other, Origin.of(weight, "other.safetensors"))
    return other


@torch.inference_mode()
def test_a_guider_of_two_models_has_each_compared_with_its_prompt(loaded: Checkpoint) -> None:
    positive = negative = prompt(loaded, PHOTOS[:1])
    latent = torch.zeros(1, 4, 8, 8)
    sampler, sigmas = sampler_object("euler"), torch.tensor([1.0, 0.0])
    for other, wanted in ((loaded.model, nullcontext()), (of_another_file(loaded), REFUSED)):
        guider = Guider_DualModel(loaded.model, other)
        guider.set_conds(positive, negative)
        guider.set_cfg(2.0)
        with wanted:
            guider.sample(torch.zeros_like(latent), latent, sampler, sigmas, seed=0)


@torch.inference_mode()
def test_models_of_other_loaders_are_compared_with_the_photo_too(loaded: Checkpoint) -> None:
    model = of_another_file(loaded)
    model.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, DIGESTS_KEY)
    clip: Any = loaded.clip
    plain = clip.encode_from_tokens_scheduled(clip.tokenize("a red car"))
    luminance = encode_luminance(loaded.encoder, PHOTOS[:1], 0)
    with pytest.raises(ConditioningError, match=r"encoder of small\.safetensors"):
        sample(model, plain, plain, luminance, SamplerSettings(0, 1, 2.0, "euler", "normal", 1.0))
    with pytest.raises(ConditioningError, match=r"encoder of small\.safetensors"):
        sample_as_published(model, plain, plain, luminance, seed=0, steps=1, cfg=2.0)
    assert not model.get_wrappers(WrappersMP.OUTER_SAMPLE, DIGESTS_KEY)
