"""Where phrases are read, in the real host."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nodes
import pytest
import torch
from comfy.model_patcher import ModelPatcher
from comfy_extras.nodes_context_windows import ContextWindowsManualNode
from torch import Tensor

from lcad_nodes.host.attention import attention_maps
from lcad_nodes.host.conditioning import Conditioning, ConditioningError
from lcad_nodes.host.guidance import Guidance, guidance_of, guide_attention
from lcad_nodes.host.instances import Instances, encode_instances, remember
from lcad_nodes.host.loading import load_checkpoint
from lcad_nodes.host.luminance import Luminance, encode_luminance
from lcad_nodes.host.sampling import SamplerSettings, ScheduleError

SIZE = 64
STEPS = 3


@dataclass
class Scene:
    """A photo with two phrases, the left half and the right half."""

    model: ModelPatcher
    luminance: Luminance
    instances: Instances
    positive: Conditioning
    negative: Conditioning

    def maps(
        self, model: ModelPatcher | None = None, step: int = 0, sampler: str = "euler"
    ) -> Tensor:
        settings = SamplerSettings(1, STEPS, 4.0, sampler, "normal", 1.0)
        prompts = (self.positive, self.negative)
        inputs = (self.instances, *prompts, self.luminance, settings, step)
        return attention_maps(model or self.model, *inputs)

    def guided(self, **changes: Any) -> ModelPatcher:
        guidance = Guidance(self.instances, 5.0, 0.0, 1.0, "fast", "sum")
        return guide_attention(self.model, replace(guidance, **changes))


@pytest.fixture(scope="module")
def scene(small_checkpoint: Path) -> Scene:
    model, clip, _, encoder = load_checkpoint(str(small_checkpoint))
    assert clip is not None
    photos = torch.rand(2, 3, SIZE, 2 * SIZE, generator=torch.manual_seed(0))
    left = torch.zeros(SIZE, 2 * SIZE)
    left[:, :SIZE] = 1
    positive, instances = encode_instances(clip, "a red cup, a blue hat", "", [left, 1 - left])
    negative = clip.encode_from_tokens_scheduled(clip.tokenize("gray"))
    with torch.inference_mode():
        luminance = encode_luminance(encoder, photos, 0)
    return Scene(model, luminance, instances, positive, negative)


@pytest.fixture(autouse=True)
def _as_the_host_runs_nodes() -> Any:
    with torch.inference_mode():
        yield


def test_a_phrase_of_all_tokens_gets_all_attention(scene: Scene) -> None:
    everything = replace(scene.instances.items[0], tokens=tuple(range(77)))
    instances = Instances((everything, scene.instances.items[1]))
    positive = remember(scene.positive, instances)
    maps = replace(scene, instances=instances, positive=positive).maps()
    assert maps.shape == (2, 2, SIZE // 8, 2 * SIZE // 8)
    torch.testing.assert_close(maps[:, 0], torch.ones_like(maps[:, 0]))
    assert 0 < maps[:, 1].min() < maps[:, 1].max() < 1


def test_maps_of_context_windows_are_refused(scene: Scene) -> None:
    windows: Any = ContextWindowsManualNode.execute(
        *(scene.model, 1, 0, "standard_static", 1, False, "flat", 0, False)
    )
    with pytest.raises(ConditioningError, match="samples in context windows"):
        scene.maps(windows.args[0])


def test_the_mean_of_all_steps_is_that_of_each(scene: Scene) -> None:
    each = torch.stack([scene.maps(step=step) for step in range(1, STEPS + 1)])
    torch.testing.assert_close(scene.maps(), each.mean(dim=0))
    assert not torch.equal(each[0], each[-1])


@pytest.mark.parametrize("mode", ["fast", "reference"])
def test_guidance_shows(scene: Scene, mode: str) -> None:
    difference = scene.maps(scene.guided(mode=mode)) - scene.maps()
    left, right = difference.chunk(2, dim=-1)
    assert left[:, 0].mean() > 0 > right[:, 0].mean()
    assert right[:, 1].mean() > 0 > left[:, 1].mean()


def test_outside_of_guidance_the_models_own_attention_is_seen(scene: Scene) -> None:
    late = scene.guided(start=0.9)
    torch.testing.assert_close(scene.maps(late, step=1), scene.maps(step=1))


def test_the_model_stays_as_it_is(scene: Scene) -> None:
    before = scene.model.model_options["transformer_options"].copy()
    scene.maps(step=1)
    assert guidance_of(scene.model) is None
    assert scene.model.model_options["transformer_options"] == before
    guided = scene.guided(strength=2.0)
    scene.maps(guided, step=1)
    guidance = guidance_of(guided)
    assert guidance is not None
    assert guidance.strength == 2.0


def test_other_instances_are_refused(scene: Scene) -> None:
    *same, last = scene.instances.items
    changed = replace(last, mask=last.mask.flip(1))
    other = replace(scene, instances=Instances((*same, changed)))
    with pytest.raises(ConditioningError, match="guided by other instances"):
        other.maps(scene.guided())
    with pytest.raises(ConditioningError, match="no conditioning comes from them"):
        other.maps()


def test_a_prompt_for_an_area_is_refused(scene: Scene) -> None:
    (area,) = nodes.ConditioningSetArea().append(scene.positive, SIZE, SIZE, 0, 0, 1.0)
    mask = torch.ones(1, 8, 8)
    (bounds,) = nodes.ConditioningSetMask().append(scene.positive, mask, "mask bounds", 1.0)
    for positive in (area, bounds):
        with pytest.raises(ConditioningError, match="maps are of the whole photo"):
            replace(scene, positive=positive).maps()


def test_a_step_that_positive_is_not_for_is_named(scene: Scene) -> None:
    (late,) = nodes.ConditioningSetTimestepRange().set_range(scene.positive, 0.5, 1.0)
    (other,) = nodes.ConditioningSetTimestepRange().set_range(scene.negative, 0.0, 0.5)
    both = replace(scene, positive=[*late, *other])
    assert both.maps(step=STEPS).isfinite().all()
    with pytest.raises(ConditioningError, match="positive was not used in step 1: look at a step"):
        both.maps(step=1)


def test_a_step_beyond_the_last_is_refused(scene: Scene) -> None:
    with pytest.raises(ScheduleError, match="step is 4, but there are 3 steps"):
        scene.maps(step=4)


def test_a_step_that_the_sampler_does_not_make_is_named(scene: Scene) -> None:
    assert scene.maps(step=1, sampler="dpm_fast").isfinite().all()
    with pytest.raises(ScheduleError, match="step is 3, but dpm_fast makes fewer: use 0"):
        scene.maps(step=3, sampler="dpm_fast")
