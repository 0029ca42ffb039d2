"""Guided sampling in the real host."""

import re
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import comfy.sample
import comfy.samplers
import node_helpers
import pytest
import torch
from comfy.model_patcher import ModelPatcher
from golden_weights import relative_error
from torch import Tensor

from lcad_nodes.host.conditioning import Conditioning, ConditioningError, add_luminance
from lcad_nodes.host.guidance import Guidance, guide_attention
from lcad_nodes.host.instances import Instances, MaskError, encode_instances
from lcad_nodes.host.loading import load_checkpoint
from lcad_nodes.host.luminance import Luminance, encode_luminance

HEIGHT, WIDTH = 60, 100
SAME = 1e-5


@dataclass
class Scene:
    """A guided colorization, ready to be sampled."""

    model: ModelPatcher
    luminance: Luminance
    instances: Instances
    positive: Conditioning
    negative: Conditioning

    def guided(self, **changes: Any) -> ModelPatcher:
        guidance = Guidance(self.instances, 2.0, 0.0, 1.0, "fast", "sum")
        return guide_attention(self.model, replace(guidance, **changes))

    def predictions(
        self, model: ModelPatcher, steps: int = 1, **inputs: Any
    ) -> list[tuple[Tensor, Tensor]]:
        """Sample, and return what the model predicts at every step for both prompts."""
        seen: list[tuple[Tensor, Tensor]] = []

        def look(args: dict[str, Any]) -> list[Tensor]:
            seen.append(tuple(part.clone() for part in args["conds_out"]))
            return args["conds_out"]

        watched = model.clone()
        watched.set_model_sampler_pre_cfg_function(look)
        conditions = {"positive": self.positive, "negative": self.negative, **inputs}
        luminance = inputs.pop("luminance", self.luminance)
        rows = luminance.features[-1].shape[0]
        noise = torch.randn(rows, 4, *luminance.geometry.latent, generator=torch.manual_seed(1))
        comfy.sample.sample(
            watched,
            noise,
            steps,
            5.0,
            "euler",
            "normal",
            add_luminance(conditions["positive"], luminance),
            add_luminance(conditions["negative"], luminance),
            torch.zeros_like(noise),
            disable_pbar=True,
        )
        return seen


@pytest.fixture(scope="module")
def scene(small_checkpoint: Path) -> Scene:
    left = torch.zeros(HEIGHT, WIDTH)
    left[:, : WIDTH // 2] = 1
    return described(small_checkpoint, left)


def described(checkpoint: Path, left: Tensor) -> Scene:
    model, clip, _, encoder = load_checkpoint(str(checkpoint))
    assert clip is not None
    photo = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.manual_seed(0))
    positive, instances = encode_instances(clip, "a red cup, a blue hat", "", [left, 1 - left])
    negative = clip.encode_from_tokens_scheduled(clip.tokenize(""))
    return Scene(model, encode_luminance(encoder, photo, 0), instances, positive, negative)


@pytest.mark.parametrize("mode", ["fast", "reference"])
def test_only_the_conditional_half_is_guided(scene: Scene, mode: str) -> None:
    ((plain, plain_negative),) = scene.predictions(scene.model)
    ((guided, guided_negative),) = scene.predictions(scene.guided(mode=mode))
    assert relative_error(guided, plain) > 1e-3
    assert relative_error(guided_negative, plain_negative) <= SAME


@pytest.mark.parametrize("mode", ["fast", "reference"])
def test_no_strength_is_no_guidance(scene: Scene, mode: str) -> None:
    ((plain, _),) = scene.predictions(scene.model)
    ((guided, _),) = scene.predictions(scene.guided(mode=mode, strength=0.0))
    assert relative_error(guided, plain) <= SAME


def test_the_guided_model_leaves_the_model_itself_alone(scene: Scene) -> None:
    ((before, _),) = scene.predictions(scene.model)
    scene.predictions(scene.guided())
    ((after, _),) = scene.predictions(scene.model)
    assert torch.equal(before, after)


def test_a_clone_made_in_depth_is_guided_by_the_same(scene: Scene) -> None:
    """As ComfyUI 0.3.75 makes them: 'Attention Maps' would wait for what a copy has seen."""
    replaced = scene.guided().model_options["transformer_options"]["patches_replace"]["attn2"]
    assert all(deepcopy(patch) is patch for patch in replaced.values())


def test_guiding_again_replaces_the_guidance(scene: Scene) -> None:
    ((once, _),) = scene.predictions(scene.guided())
    strong = replace(scene, model=scene.guided(strength=9.0))
    ((again, _),) = scene.predictions(strong.guided())
    assert torch.equal(once, again)


def test_guidance_begins_and_ends_when_told(scene: Scene) -> None:
    plain = scene.predictions(scene.model, steps=4)
    early = scene.predictions(scene.guided(end=0.1), steps=4)
    late = scene.predictions(scene.guided(start=0.9), steps=4)
    assert relative_error(early[0][0], plain[0][0]) > 1e-3
    assert torch.equal(late[0][0], plain[0][0])
    assert not torch.equal(late[-1][0], plain[-1][0])


@pytest.mark.parametrize("mode", ["fast", "reference"])
def test_a_batch_is_guided_as_its_photos_alone(scene: Scene, mode: str) -> None:
    first = scene.luminance
    second = tuple(feature.flip(-1) for feature in first.features)
    both = first._replace(
        features=tuple(map(lambda a, b: torch.cat([a, b]), first.features, second)),
        lightness=first.lightness.expand(2, -1, -1, -1),
    )
    model = scene.guided(mode=mode)
    ((batch, _),) = scene.predictions(model, luminance=both)
    ((alone, _),) = scene.predictions(model)
    assert relative_error(batch[:1], alone) <= SAME
    assert relative_error(batch[1:], batch[:1]) > 1e-3


def test_a_longer_negative_prompt_changes_nothing(scene: Scene) -> None:
    """The host repeats the shorter prompt, to run both in one batch."""
    ((expected, _),) = scene.predictions(scene.guided())
    longer = [[torch.cat([scene.negative[0][0]] * 2, dim=1), scene.negative[0][1]]]
    ((found, _),) = scene.predictions(scene.guided(), negative=longer)
    assert relative_error(found, expected) <= SAME


def test_masks_are_cropped_with_an_area(scene: Scene) -> None:
    """A prompt for the latent's right half sees the right half of its masks."""
    area = (8, 8, 0, 8)
    positive = node_helpers.conditioning_set_values(scene.positive, {"area": area})
    ((expected, _),) = scene.predictions(scene.guided(), positive=positive)
    for column, matters in ((0, False), (WIDTH - 1, True)):
        items = scene.instances.items
        mask = items[0].mask.clone()
        side = slice(0, 40) if column == 0 else slice(70, WIDTH)
        mask[:, side] = 1 - mask[:, side]
        changed = Instances((replace(items[0], mask=mask), items[1]))
        own = node_helpers.conditioning_set_values(positive, {"lcad_instances": changed})
        ((found, _),) = scene.predictions(scene.guided(instances=changed), positive=own)
        assert (relative_error(found, expected) > 1e-4) == matters


def test_another_prompt_beside_the_guided_one_is_left_alone(scene: Scene) -> None:
    """ConditioningCombine: the second prompt has no masks, and its tokens are other words."""
    other = [[scene.positive[0][0].flip(1), scene.negative[0][1]]]
    ((plain, _),) = scene.predictions(scene.model, positive=other)
    ((guided, _),) = scene.predictions(scene.guided())
    ((combined, _),) = scene.predictions(scene.guided(), positive=[*scene.positive, *other])
    assert relative_error(combined, (plain + guided) / 2) <= SAME


def test_a_positive_from_elsewhere_is_an_error(scene: Scene) -> None:
    with pytest.raises(ConditioningError, match="connect the positive output of the same"):
        scene.predictions(scene.guided(), positive=scene.negative)


def test_guidance_without_a_photo_is_an_error(scene: Scene) -> None:
    guider = comfy.samplers.CFGGuider(scene.guided())
    guider.set_conds(scene.positive, scene.negative)
    noise = torch.zeros(1, 4, *scene.luminance.geometry.latent)
    with pytest.raises(ConditioningError, match="the conditioning carries none: put 'Add Photo"):
        guider.sample(noise, noise, comfy.samplers.sampler_object("euler"), torch.tensor([1.0, 0]))


def test_masks_of_another_size_than_the_photo_are_an_error(scene: Scene) -> None:
    items = tuple(replace(item, mask=torch.ones(64, 64)) for item in scene.instances.items)
    wrong = Instances(items)
    positive = node_helpers.conditioning_set_values(scene.positive, {"lcad_instances": wrong})
    with pytest.raises(MaskError, match=r"64 x 64 .* 60 x 100"):
        scene.predictions(scene.guided(instances=wrong), positive=positive)


def test_a_mask_that_no_attention_sees_is_named(
    small_checkpoint: Path, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.predictions(scene.guided())
    assert not caplog.messages
    tiny = torch.zeros(HEIGHT, WIDTH)
    tiny[12:15, 12:15] = 1
    small = described(small_checkpoint, tiny)
    small.predictions(small.guided(strength=0.0))  # as 'Attention Maps' does
    assert not caplog.messages
    small.predictions(small.guided())
    (message,) = caplog.messages
    assert message.startswith("the mask of 'a red cup' is too small to be seen")
    assert re.search(r"attention is (8|16|32) px wide", message)
