"""Guidance among everything else that the host has: nothing here would pass if it did nothing.

All of it in both modes of guidance; of the host's samplers, one of each kind in the slower mode.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import comfy.cldm.cldm
import comfy.controlnet
import comfy.hooks
import comfy.model_management as management
import comfy.ops
import comfy.samplers
import comfy.sd
import folder_paths
import nodes
import pytest
import torch
from comfy.ldm.modules.attention import attention_pytorch
from comfy.model_patcher import ModelPatcher
from comfy_extras.nodes_custom_sampler import BasicScheduler, RandomNoise, SamplerCustomAdvanced
from comfy_extras.nodes_differential_diffusion import DifferentialDiffusion
from comfy_extras.nodes_easycache import EasyCacheNode, LazyCacheNode
from comfy_extras.nodes_freelunch import FreeU, FreeU_V2
from comfy_extras.nodes_model_advanced import RescaleCFG
from comfy_extras.nodes_model_downscale import PatchModelAddDownscale
from comfy_extras.nodes_model_merging import ModelMergeSimple
from comfy_extras.nodes_pag import PerturbedAttentionGuidance
from comfy_extras.nodes_perpneg import PerpNegGuider
from comfy_extras.nodes_sag import SelfAttentionGuidance
from comfy_extras.nodes_tomesd import TomePatchModel
from comfy_extras.nodes_torch_compile import TorchCompileModel
from comfyui_server import Server, saved
from golden_weights import relative_error, weights_by_name
from safetensors.torch import save_file
from sample_workflows import every_node, side_by_side
from torch import Tensor

from lcad_nodes.host.conditioning import (
    INSTANCES_KEY,
    Conditioning,
    ConditioningError,
    add_luminance,
    empty_latent,
)
from lcad_nodes.host.guidance import Guidance, Mode, guide_attention
from lcad_nodes.host.hints import GEOMETRY_KEY, hints_placed
from lcad_nodes.host.instances import Instances, encode_instances, remember
from lcad_nodes.host.loading import Checkpoint, load_checkpoint
from lcad_nodes.host.luminance import TRAINED_AT, Luminance, encode_luminance
from lcad_nodes.host.merges import WIDENED
from lcad_nodes.model.geometry import Geometry

SIZE = 64
SAME = 1e-5
OTHER = 1e-3
MODES: tuple[Mode, ...] = ("fast", "reference")


@dataclass
class Scene:
    """A photo of two objects, ready for the host's own sampler nodes."""

    loaded: Checkpoint
    luminance: Luminance
    instances: Instances
    positive: Conditioning
    negative: Conditioning
    mode: Mode

    @property
    def model(self) -> ModelPatcher:
        return self.loaded.model

    @property
    def latent(self) -> dict[str, Tensor]:
        return empty_latent(self.luminance)

    def encode(self, text: str) -> Conditioning:
        clip = self.loaded.clip
        assert clip is not None
        conditioning = clip.encode_from_tokens_scheduled(clip.tokenize(text))
        return add_luminance(conditioning, self.luminance)

    def guided(self, model: ModelPatcher | None = None, **changes: Any) -> ModelPatcher:
        guidance = Guidance(self.instances, 3.0, 0.0, 1.0, self.mode, "sum")
        return guide_attention(model or self.model, replace(guidance, **changes))

    def sample(
        self,
        model: ModelPatcher,
        positive: Conditioning | None = None,
        latent: dict[str, Tensor] | None = None,
        *,
        steps: int = 2,
        cfg: float = 5.0,
        sampler: str = "euler",
        scheduler: str = "normal",
        denoise: float = 1.0,
    ) -> Tensor:
        """Run the host's KSampler."""
        (result,) = nodes.KSampler().sample(
            model,
            1,
            steps,
            cfg,
            sampler,
            scheduler,
            positive or self.positive,
            self.negative,
            latent or self.latent,
            denoise,
        )
        return result["samples"]


@pytest.fixture(autouse=True)
def _as_the_host_runs_nodes() -> Any:
    with torch.inference_mode():
        yield


def make_scene(checkpoint: Path, size: int, mode: Mode) -> Scene:
    loaded = load_checkpoint(str(checkpoint))
    assert loaded.clip is not None
    photo = torch.rand(1, 3, size, size, generator=torch.manual_seed(0))
    luminance = encode_luminance(loaded.encoder, photo, 0)
    left = torch.zeros(size, size)
    left[:, : size // 2] = 1
    text = "a red cup, a blue hat"
    positive, instances = encode_instances(loaded.clip, text, "", [left, 1 - left])
    negative = loaded.clip.encode_from_tokens_scheduled(loaded.clip.tokenize(""))
    return Scene(
        loaded,
        luminance,
        instances,
        add_luminance(positive, luminance),
        add_luminance(negative, luminance),
        mode,
    )


@pytest.fixture(scope="module", params=MODES)
def scene(small_checkpoint: Path, request: pytest.FixtureRequest) -> Scene:
    return make_scene(small_checkpoint, SIZE, request.param)


@pytest.fixture(scope="module", params=MODES)
def large_scene(small_checkpoint: Path, request: pytest.FixtureRequest) -> Scene:
    """One in which the UNet's middle is more than one position."""
    return make_scene(small_checkpoint, 2 * SIZE, request.param)


@pytest.fixture(scope="module")
def plain(scene: Scene) -> Tensor:
    """What comes of sampling without guidance."""
    with torch.inference_mode():
        return scene.sample(scene.model)


@pytest.fixture(scope="module")
def guided(scene: Scene) -> Tensor:
    """What comes of sampling with guidance."""
    with torch.inference_mode():
        return scene.sample(scene.guided())


def differ(first: Tensor, second: Tensor) -> bool:
    return bool(first.isfinite().all()) and relative_error(first, second) > OTHER


def same(first: Tensor, second: Tensor) -> bool:
    return relative_error(first, second) <= SAME


def test_the_three_sampler_nodes_agree(scene: Scene, plain: Tensor, guided: Tensor) -> None:
    model = scene.guided()

    def advanced(latent: dict[str, Tensor], first: bool, start: int, end: int) -> dict[str, Tensor]:
        (result,) = nodes.KSamplerAdvanced().sample(
            model,
            "enable" if first else "disable",
            1,
            2,
            5.0,
            "euler",
            "normal",
            scene.positive,
            scene.negative,
            latent,
            start,
            end,
            "enable" if first else "disable",
        )
        return result

    in_two = advanced(advanced(scene.latent, True, 0, 1), False, 1, 2)
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(scene.positive, scene.negative)
    guider.set_cfg(5.0)
    (sigmas,) = BasicScheduler.execute(model, "normal", 2, 1.0).args
    (noise,) = RandomNoise.execute(1).args
    euler = comfy.samplers.sampler_object("euler")
    custom = SamplerCustomAdvanced.execute(noise, guider, euler, sigmas, scene.latent).args[0]
    assert differ(guided, plain)
    assert same(in_two["samples"], guided)
    assert same(custom["samples"], guided)


@pytest.mark.parametrize(
    ("scene", "sampler"),
    [
        *(("fast", sampler) for sampler in comfy.samplers.KSampler.SAMPLERS),
        *(("reference", sampler) for sampler in ("euler", "dpmpp_2m", "dpmpp_sde")),
    ],
    indirect=["scene"],
)
def test_every_sampler_is_guided(scene: Scene, sampler: str) -> None:
    # This one chooses its own steps, far more than it is told.
    denoise = 0.1 if sampler == "dpm_adaptive" else 1.0
    found = scene.sample(scene.guided(), sampler=sampler, denoise=denoise)
    assert differ(found, scene.sample(scene.model, sampler=sampler, denoise=denoise))


@pytest.mark.parametrize(
    ("scene", "scheduler"),
    [("fast", scheduler) for scheduler in comfy.samplers.KSampler.SCHEDULERS],
    indirect=["scene"],
)
def test_every_scheduler_is_guided(scene: Scene, scheduler: str) -> None:
    found = scene.sample(scene.guided(), scheduler=scheduler)
    assert differ(found, scene.sample(scene.model, scheduler=scheduler))


def test_guidance_without_a_negative_prompt(scene: Scene, guided: Tensor) -> None:
    """At CFG 1 the host leaves the negative prompt out, and batches nothing."""
    found = scene.sample(scene.guided(), cfg=1.0)
    assert differ(found, scene.sample(scene.model, cfg=1.0))
    assert differ(found, guided)


@pytest.fixture(scope="module")
def control(scene: Scene) -> comfy.controlnet.ControlNet:
    """A ControlNet of the model's widths, of the host's own class."""
    config = dict(scene.model.model.model_config.unet_config)
    del config["out_channels"]
    network = comfy.cldm.cldm.ControlNet(
        **(config | {"in_channels": 4, "hint_channels": 3, "dtype": torch.float32}),
        operations=comfy.ops.disable_weight_init,
    )
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    network.load_state_dict(weights_by_name(0, shapes))
    return comfy.controlnet.ControlNet(network, load_device=management.get_torch_device())


def test_controlnet(scene: Scene, control: Any) -> None:
    hint = torch.rand(1, SIZE, SIZE, 3, generator=torch.manual_seed(0))

    def controlled(model: ModelPatcher) -> Tensor:
        positive, negative = nodes.ControlNetApplyAdvanced().apply_controlnet(
            scene.positive, scene.negative, control, hint, 1.0, 0.0, 1.0
        )
        return replace(scene, negative=negative).sample(model, positive)

    model = scene.guided()
    unguided = controlled(scene.model)
    assert differ(controlled(model), unguided)
    assert differ(controlled(model), scene.sample(model))
    assert same(controlled(scene.guided(strength=0.0)), unguided)


def test_hints_lie_on_a_photo_that_is_squeezed(scene: Scene, control: Any) -> None:
    """By itself, the host would cut the hint's sides off."""
    photo, hint = torch.rand(2, 1, 3, SIZE, 2 * SIZE, generator=torch.manual_seed(0))
    encoder = scene.loaded.encoder.clone()
    encoder.set_attachments(TRAINED_AT, (SIZE, SIZE))
    luminance = encode_luminance(encoder, photo, -1)
    assert luminance.geometry.padded == (SIZE, SIZE)

    def controlled(picture: Tensor) -> Tensor:
        positive, negative = nodes.ControlNetApplyAdvanced().apply_controlnet(
            scene.encode("a red cup"),
            scene.negative,
            control,
            picture.movedim(1, -1),
            1.0,
            0.0,
            1.0,
        )
        positive, negative = (add_luminance(each, luminance) for each in (positive, negative))
        return replace(scene, negative=negative, luminance=luminance).sample(scene.model, positive)

    squeezed = luminance.geometry.place(hint, "nearest-exact")
    assert torch.equal(controlled(hint), controlled(squeezed))
    assert differ(controlled(hint), controlled(squeezed.flip(3)))


def test_hints_come_back_as_they_were(control: Any) -> None:
    first, second, beside = torch.rand(3, 1, 3, 60, 120, generator=torch.manual_seed(0))
    inner = control.copy().set_cond_hint(first, extra_concat=[beside[:, :1]])
    outer = control.copy().set_cond_hint(second[..., :60]).set_previous_controlnet(inner)
    clone = inner.multigpu_clones["another device"] = inner.copy()
    geometry = Geometry.fit((30, 60), 64, squeeze=2.0)
    conds = [{"control": outer, GEOMETRY_KEY: geometry}] * 2 + [{"control": inner}, {}]
    sizes = []

    def interrupted() -> None:
        with hints_placed(conds):
            for one in (inner, clone, outer):
                sizes.append(tuple(one.cond_hint_original.shape[2:]))
                one.cond_hint = one.cond_hint_original
            assert inner.extra_concat_orig[0].shape == (1, 1, 64, 64)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        interrupted()
    assert sizes == [(64, 64), (64, 64), (60, 60)]  # the last is of the latent's shape
    for one in (inner, clone):
        assert one.cond_hint_original is first
        assert torch.equal(one.extra_concat_orig[0], beside[:, :1])
    assert [one.cond_hint for one in (inner, clone, outer)] == [None] * 3


def test_a_control_lora_is_refused(scene: Scene) -> None:
    """It would be built as wide as the model, and read the latent alone."""
    lora, hint = comfy.controlnet.ControlLora({}), torch.rand(1, SIZE, SIZE, 3)
    applied = nodes.ControlNetApplyAdvanced().apply_controlnet(
        scene.positive, scene.negative, lora, hint, 1.0, 0.0, 1.0
    )
    with pytest.raises(ConditioningError, match=r"Control-LoRAs borrow .* use a whole ControlNet"):
        replace(scene, negative=applied[1]).sample(scene.model, applied[0])


def test_caches_of_steps_keep_guidance_or_are_refused(scene: Scene) -> None:
    """EasyCache would take the second of two passes for the first, and leave it out."""

    def cached(node: Any, model: ModelPatcher) -> Tensor:
        return scene.sample(node.execute(model, 1.0, 0.0, 1.0, False).args[0], steps=6)

    model = scene.guided()
    assert differ(cached(LazyCacheNode, model), cached(LazyCacheNode, scene.model))
    if scene.mode == "fast":
        assert differ(cached(EasyCacheNode, model), cached(EasyCacheNode, scene.model))
    else:
        with pytest.raises(ConditioningError, match=r"as EasyCache does .* set mode to 'fast'"):
            cached(EasyCacheNode, model)


def test_another_replacement_of_attention_is_refused(scene: Scene) -> None:
    """IP-Adapter replaces it before guidance, or adds itself to what it takes for its own."""

    def adapter(q: Tensor, _k: Tensor, _v: Tensor, _options: dict[str, Any]) -> Tensor:
        return q

    before = scene.model.clone()
    before.set_model_attn2_replace(adapter, "middle", 0)
    with pytest.raises(ConditioningError, match="function replaces the model's cross-attention"):
        scene.guided(before)
    patches = scene.guided().model_options["transformer_options"]["patches_replace"]["attn2"]
    with pytest.raises(ConditioningError, match=r"adapter replaces .* as IP-Adapter does"):
        patches["middle", 0].add(adapter, weight=1.0)
    after = scene.guided()
    after.set_model_attn2_replace(adapter, "middle", 0, 0)
    with pytest.raises(ConditioningError, match="function replaces the model's cross-attention"):
        scene.sample(after)


def test_tokens_before_those_of_the_guided_prompt_are_refused(scene: Scene) -> None:
    """As ELLA puts them; what is put behind, mixed in or scaled is as it was."""
    other, concat = scene.encode("a yellow lamp"), nodes.ConditioningConcat()
    (behind,) = concat.concat(scene.positive, other)
    (mixed,) = nodes.ConditioningAverage().addWeighted(scene.positive, other, 0.5)
    scaled = [[3 * scene.positive[0][0], scene.positive[0][1]]]
    for positive in (behind, mixed, scaled):
        found = scene.sample(scene.guided(), positive, steps=1)
        assert differ(found, scene.sample(scene.model, positive, steps=1))
    tokens = torch.randn(1, 64, scene.positive[0][0].shape[2], generator=torch.manual_seed(0))
    before = [[torch.cat([tokens, scene.positive[0][0]], dim=1), scene.positive[0][1]]]
    with pytest.raises(ConditioningError, match=r"tokens before .* as ELLA does"):
        scene.sample(scene.guided(), before, steps=1)


@pytest.mark.parametrize("negative", [1, 2])
def test_tokens_that_are_repacked_inside_the_model_are_refused(scene: Scene, negative: int) -> None:
    """As CLIP NegPip does, with prompts of one length and of two."""

    def doubled(prompt: Conditioning, times: int) -> Conditioning:
        return [[prompt[0][0].repeat(1, 2 * times, 1), prompt[0][1]]]

    def halve(q: Tensor, k: Tensor, v: Tensor, _options: Any) -> tuple[Tensor, Tensor, Tensor]:
        return q, k[:, 0::2], v[:, 1::2]

    repacked = replace(scene, negative=doubled(scene.negative, negative))
    plain, guided = scene.model.clone(), scene.guided()
    for model in (plain, guided):
        model.set_model_attn2_patch(halve)
    assert repacked.sample(plain, doubled(scene.positive, 1), steps=1).isfinite().all()
    with pytest.raises(ConditioningError, match=r"tokens inside the model, as CLIP NegPip does"):
        repacked.sample(guided, doubled(scene.positive, 1), steps=1)


def low_rank(name: str, outputs: int, inputs: int) -> dict[str, Tensor]:
    shapes = {f"{name}.lora_up.weight": [outputs, 4], f"{name}.lora_down.weight": [4, inputs]}
    return weights_by_name(0, shapes)


def test_lora(scene: Scene, guided: Tensor, tmp_path: Path) -> None:
    attention = "down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_v"
    lora = low_rank(f"lora_unet_{attention}", 32, 64)
    lora |= low_rank("lora_te_text_model_encoder_layers_0_self_attn_v_proj", 64, 64)
    save_file(lora, tmp_path / "style.safetensors")
    folder_paths.add_model_folder_path("loras", str(tmp_path))
    loader = nodes.LoraLoader()

    def load(model: ModelPatcher, unet: float, text: float) -> Any:
        return loader.load_lora(model, scene.loaded.clip, "style.safetensors", unet, text)

    model, _ = load(scene.guided(), 3.0, 0.0)
    on_unet = scene.sample(model)
    assert differ(on_unet, guided)
    assert differ(on_unet, scene.sample(load(scene.model, 3.0, 0.0)[0]))
    assert same(on_unet, scene.sample(scene.guided(load(scene.model, 3.0, 0.0)[0])))

    _, clip = load(scene.model, 0.0, 3.0)
    masks = [item.mask for item in scene.instances.items]
    styled, instances = encode_instances(clip, "a red cup, a blue hat", "", masks)
    positive = add_luminance(styled, scene.luminance)
    on_clip = scene.sample(scene.guided(instances=instances), positive)
    assert differ(on_clip, guided)
    assert differ(on_clip, scene.sample(scene.model, positive))


@pytest.fixture(scope="module")
def colored(scene: Scene) -> dict[str, Tensor]:
    """A latent that already has colors."""
    shape = scene.latent["samples"].shape
    return {"samples": torch.randn(shape, generator=torch.manual_seed(2))}


def test_only_the_masked_region_changes(scene: Scene, colored: dict[str, Tensor]) -> None:
    mask = torch.zeros(1, SIZE, SIZE)
    mask[..., SIZE // 2 :] = 1
    (latent,) = nodes.SetLatentNoiseMask().set_mask(colored, mask)
    found = scene.sample(scene.guided(), latent=latent)
    (kept, changed), (left, right) = found.chunk(2, -1), colored["samples"].chunk(2, -1)
    assert same(kept, left)
    assert differ(changed, right)
    assert differ(changed, scene.sample(scene.model, latent=latent).chunk(2, -1)[1])


def test_differential_diffusion(scene: Scene, colored: dict[str, Tensor]) -> None:
    """A graded mask: the darker, the later in the sampling a place begins to change."""
    mask = torch.linspace(0, 1, SIZE).expand(1, SIZE, SIZE)
    (latent,) = nodes.SetLatentNoiseMask().set_mask(colored, mask)
    (model,) = DifferentialDiffusion.execute(scene.guided()).args
    (unguided,) = DifferentialDiffusion.execute(scene.model).args
    found = scene.sample(model, latent=latent, steps=4)
    assert differ(found, scene.sample(scene.guided(), latent=latent, steps=4))
    assert differ(found, scene.sample(unguided, latent=latent, steps=4))


def test_two_prompts_combined(scene: Scene, plain: Tensor, guided: Tensor) -> None:
    other = scene.encode("a yellow lamp")
    (both,) = nodes.ConditioningCombine().combine(scene.positive, other)
    found = scene.sample(scene.guided(), both)
    assert differ(found, guided)
    assert differ(found, scene.sample(scene.model, both))
    assert differ(found, plain)


def on_the_left(conditioning: Conditioning, how: str) -> Conditioning:
    """Restrict a prompt to the left half, in each way that the host knows."""
    if how == "area":
        return nodes.ConditioningSetArea().append(conditioning, SIZE // 2, SIZE, 0, 0, 1.0)[0]
    if how == "percentage":
        return nodes.ConditioningSetAreaPercentage().append(conditioning, 0.5, 1.0, 0, 0, 1.0)[0]
    mask = torch.zeros(1, SIZE, SIZE)
    mask[..., : SIZE // 2] = 1
    return nodes.ConditioningSetMask().append(conditioning, mask, how, 1.0)[0]


@pytest.mark.parametrize("how", ["area", "percentage", "default", "mask bounds"])
def test_a_guided_prompt_for_the_left_half_leaves_the_right_alone(scene: Scene, how: str) -> None:
    """In one step nothing passes from one half to the other but through the network itself."""
    right = scene.encode("a yellow lamp")
    right = nodes.ConditioningSetArea().append(right, SIZE // 2, SIZE, SIZE // 2, 0, 1.0)[0]
    (both,) = nodes.ConditioningCombine().combine(on_the_left(scene.positive, how), right)
    found = scene.sample(scene.guided(), both, steps=1).chunk(2, -1)
    unguided = scene.sample(scene.model, both, steps=1).chunk(2, -1)
    assert differ(found[0], unguided[0])
    assert same(found[1], unguided[1])


def test_an_area_in_pixels_of_the_photo_is_refused_where_colors_are_made_smaller(
    scene: Scene,
) -> None:
    """The host would cut it off: half of the photo would be all of the latent."""
    luminance = encode_luminance(scene.loaded.encoder, torch.rand(1, 3, 256, 512), SIZE)
    wide = replace(scene, luminance=luminance)
    wide.negative = wide.encode("")
    (half,) = nodes.ConditioningSetArea().append(wide.encode("a red cup"), 256, 256, 0, 0, 1.0)
    with pytest.raises(ConditioningError, match=r"256 x 256 px .* at 0, 0, .* made at 128 x 64 px"):
        wide.sample(wide.model, half)
    for width, height, x in ((SIZE, SIZE, SIZE), (1024, 32, 0), (SIZE + 16, SIZE, SIZE)):
        (part,) = nodes.ConditioningSetArea().append(half, width, height, x, 0, 1.0)
        assert wide.sample(wide.model, part).isfinite().all()
    (right,) = nodes.ConditioningSetArea().append(half, 256, 256, 256, 0, 1.0)
    with pytest.raises(ConditioningError, match="at 256, 0, but colors are"):
        wide.sample(wide.model, right)


def test_a_negative_prompt_made_from_the_guided_one_is_not_guided(scene: Scene) -> None:
    (averaged,) = nodes.ConditioningAverage().addWeighted(scene.positive, scene.negative, 0.5)
    bare = [[prompt, {**values}] for prompt, values in averaged]
    for _, values in bare:
        values.pop(INSTANCES_KEY)
    found, expected = (
        replace(scene, negative=negative).sample(scene.guided()) for negative in (averaged, bare)
    )
    assert same(found, expected)


def test_calls_without_a_guided_prompt_are_made_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short of memory, the host calls the model for each prompt by itself."""
    model, calls = scene.guided(), []
    unet: Any = model.get_model_object("diffusion_model")
    forward = unet.forward

    def counted(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        calls.append(len(x))
        return forward(x, *args, **kwargs)

    monkeypatch.setattr(unet, "forward", counted)
    monkeypatch.setattr(type(model.model), "memory_required", lambda *_, **__: 1e15)
    scene.sample(model, steps=1)
    assert calls == [1] * (2 if scene.mode == "fast" else 3)


def test_a_picture_in_pieces_is_refused(scene: Scene) -> None:
    """Masks would be squeezed onto every piece."""

    def in_halves(apply: Any, values: Any) -> Tensor:
        halves = (values["input"].chunk(2, -1), values["c"]["c_concat"].chunk(2, -1))
        return torch.cat(
            [
                apply(x, values["timestep"], **{**values["c"], "c_concat": luminance})
                for x, luminance in zip(*halves, strict=True)
            ],
            dim=-1,
        )

    plain, guided = scene.model.clone(), scene.guided()
    for model in (plain, guided):
        model.set_model_unet_function_wrapper(in_halves)
    assert scene.sample(plain, steps=1).isfinite().all()
    with pytest.raises(ConditioningError, match="another node cuts or repeats the picture"):
        scene.sample(guided, steps=1)


def test_a_node_that_calls_the_network_itself_is_named(scene: Scene) -> None:
    """As DeepCache does, around everything that wraps the model."""
    unet: Any = scene.model.model.diffusion_model

    def by_itself(_apply: Any, values: Any) -> Tensor:
        c, x = values["c"], values["input"]
        context, options = c["c_crossattn"], c["transformer_options"]
        seen = torch.cat([x, c["c_concat"]], dim=1)
        return unet(seen, values["timestep"], context, transformer_options=options)

    plain, guided = scene.model.clone(), scene.guided()
    for model in (plain, guided):
        model.set_model_unet_function_wrapper(by_itself)
    assert scene.sample(plain, steps=1).isfinite().all()
    with pytest.raises(ConditioningError, match="calls the network without guidance, as DeepCache"):
        scene.sample(guided, steps=1)


def test_a_hook_of_a_model_that_reads_no_luminance_is_refused(scene: Scene) -> None:
    own = scene.model.get_key_patches()[WIDENED][0][0]

    def hooked(weight: Tensor) -> Tensor:
        hooks = comfy.hooks.create_hook_model_as_lora({WIDENED: weight}, None, 1.0, 1.0)
        prompts = [scene.positive, scene.negative]
        positive, negative = comfy.hooks.set_conds_props(prompts, 1.0, "default", hooks=hooks)
        return replace(scene, negative=negative).sample(scene.model, positive, steps=1)

    assert differ(hooked(0.5 * own), scene.sample(scene.model, steps=1))
    with pytest.raises(ConditioningError, match="merge Stable Diffusion models first"):
        hooked(own[:, :4])


def test_a_merge_with_a_model_that_reads_no_luminance_is_refused(scene: Scene) -> None:
    merged = scene.model.clone()
    plain = [(torch.zeros(64, 4, 3, 3), lambda weight, **_: weight)]
    merged.add_patches({WIDENED: plain}, 0.5, 0.5)
    with pytest.raises(ConditioningError, match="merge Stable Diffusion models first"):
        scene.sample(merged, steps=1)
    (alike,) = ModelMergeSimple().merge(scene.model, scene.model.clone(), 0.5)
    assert same(scene.sample(alike, steps=1), scene.sample(scene.model, steps=1))


def test_a_lora_of_the_first_convolution_is_no_merge(scene: Scene) -> None:
    convolution = scene.model.get_key_patches()[WIDENED][0][0]
    lora = {
        "lora_unet_conv_in.lora_up.weight": torch.randn(len(convolution), 2, 1, 1),
        "lora_unet_conv_in.lora_down.weight": torch.randn(2, *convolution.shape[1:]),
    }
    with_lora, _ = comfy.sd.load_lora_for_models(scene.model, None, lora, 1.0, 0.0)
    assert with_lora is not None
    assert WIDENED in with_lora.patches
    assert differ(scene.sample(with_lora, steps=1), scene.sample(scene.model, steps=1))


def test_a_merge_with_a_patched_model_is_none_with_a_plain_one(scene: Scene) -> None:
    """The host widens the other's weight before it merges."""
    convolution = scene.model.get_key_patches()[WIDENED][0][0]
    padding = ("diff", (convolution, {"pad_weight": True}))
    other = [(convolution[:, :4], lambda weight, **_: weight), (1.0, padding, 1.0, None, None)]
    merged = scene.model.clone()
    merged.add_patches({WIDENED: other}, 0.5, 0.5)
    assert scene.sample(merged, steps=1).isfinite().all()


def test_a_guided_prompt_for_part_of_the_steps(scene: Scene) -> None:
    """Guided in the first of three steps, by another prompt in the others, and the other way."""
    other = scene.encode("a yellow lamp")
    ranged = nodes.ConditioningSetTimestepRange().set_range
    early, late = (0.0, 0.25), (0.25, 1.0)
    for own, others in ((early, late), (late, early)):
        both = [*ranged(scene.positive, *own)[0], *ranged(other, *others)[0]]
        unguided = scene.sample(scene.model, both, steps=3)
        assert differ(scene.sample(scene.guided(), both, steps=3), unguided)
        elsewhen = scene.guided(start=others[0], end=others[1])
        assert same(scene.sample(elsewhen, both, steps=3), unguided)


def test_a_phrase_across_two_chunks_is_guided_in_both(scene: Scene) -> None:
    text = "very " * 73 + "old red cup, blue hat"
    phrases, masks = "old red cup\nblue hat", [item.mask for item in scene.instances.items]
    assert scene.loaded.clip is not None
    conditioning, whole = encode_instances(scene.loaded.clip, text, phrases, masks)
    cup, hat = whole.items
    first, second = (
        Instances((replace(cup, tokens=tokens), hat)) for tokens in (cup.tokens[:2], cup.tokens[2:])
    )
    found = []
    for instances in (whole, first, second):
        positive = add_luminance(remember(conditioning, instances), scene.luminance)
        found.append(scene.sample(scene.guided(instances=instances, strength=9.0), positive))
    assert differ(found[0], found[1])
    assert differ(found[0], found[2])


def perp_neg(scene: Scene, model: ModelPatcher) -> Tensor:
    (guider,) = PerpNegGuider.execute(
        model, scene.positive, scene.negative, scene.encode("gray"), 5.0, 1.0
    ).args
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", 2)
    (noise,) = RandomNoise.execute(1).args
    euler = comfy.samplers.sampler_object("euler")
    return SamplerCustomAdvanced.execute(noise, guider, euler, sigmas, scene.latent).args[0][
        "samples"
    ]


def test_perpendicular_negative_guider(scene: Scene, guided: Tensor) -> None:
    """A guider with three prompts."""
    found = perp_neg(scene, scene.guided())
    assert differ(found, perp_neg(scene, scene.model))
    assert differ(found, guided)


PATCHES: dict[str, Callable[[ModelPatcher], Any]] = {
    "perturbed attention": lambda model: PerturbedAttentionGuidance.execute(model, 3.0),
    "self-attention guidance": lambda model: SelfAttentionGuidance.execute(model, 2.0, 2.0),
    "FreeU": lambda model: FreeU.execute(model, 1.3, 1.4, 0.9, 0.2),
    "FreeU 2": lambda model: FreeU_V2.execute(model, 1.3, 1.4, 0.9, 0.2),
    "rescaled CFG": lambda model: RescaleCFG().patch(model, 0.7),
    "token merging": lambda model: TomePatchModel.execute(model, 0.5),
    "deep shrink": lambda model: PatchModelAddDownscale.execute(
        model, 3, 2.0, 0.0, 1.0, True, "bicubic", "bicubic"
    ),
}


@pytest.mark.parametrize("name", PATCHES)
def test_other_patches_of_the_model(large_scene: Scene, name: str) -> None:
    """Both count, and it does not matter which node comes first."""
    scene = large_scene

    def patched(model: ModelPatcher) -> ModelPatcher:
        return PATCHES[name](model)[0]

    found = scene.sample(patched(scene.guided()), steps=1)
    assert differ(found, scene.sample(scene.guided(), steps=1))
    assert differ(found, scene.sample(patched(scene.model), steps=1))
    assert same(found, scene.sample(scene.guided(patched(scene.model)), steps=1))


@pytest.mark.slow
def test_torch_compile(scene: Scene) -> None:
    """What is traced in one step is right in the others: guided, in another phase, or not guided.

    The attention is the one that the host has on a GPU, without a break in the traced graph. What
    the trace is turned into is not of interest, so nothing is.
    """

    def as_on_a_gpu(_attention: Any, *args: Any, **kwargs: Any) -> Tensor:
        return attention_pytorch(*args, **kwargs)

    torch.compiler.reset()
    models = [scene.model.clone(), scene.guided(end=0.25), scene.guided(strength=9.0)]
    for model in models:
        model.model_options["transformer_options"]["optimized_attention_override"] = as_on_a_gpu
        (compiled,) = TorchCompileModel.execute(model, "eager").args
        assert same(scene.sample(compiled, steps=3), scene.sample(model, steps=3))
    torch.compiler.reset()


def test_a_batch_of_latents_of_one_photo(scene: Scene, guided: Tensor) -> None:
    (latent,) = nodes.RepeatLatentBatch().repeat(scene.latent, 2)
    found = scene.sample(scene.guided(), latent=latent)
    assert same(found[:1], guided)
    assert differ(found[1:], guided)
    assert differ(found, scene.sample(scene.model, latent=latent))


def test_instances_that_the_host_made_anew_are_the_same(scene: Scene, guided: Tensor) -> None:
    """Short of memory, it forgets some nodes' outputs and keeps others."""
    items = tuple(replace(item, mask=item.mask.clone()) for item in scene.instances.items)
    positive = add_luminance(remember(scene.positive, Instances(items)), scene.luminance)
    assert torch.equal(scene.sample(scene.guided(), positive), guided)


def test_two_guided_models_do_not_disturb_each_other(scene: Scene, guided: Tensor) -> None:
    assert scene.loaded.clip is not None
    masks = [item.mask for item in reversed(scene.instances.items)]
    other, instances = encode_instances(scene.loaded.clip, "a green tree, a gray car", "", masks)
    positive = add_luminance(other, scene.luminance)
    first, second = scene.guided(), scene.guided(instances=instances, mode="reference")
    of_second = scene.sample(second, positive)
    assert torch.equal(scene.sample(first), guided)
    assert torch.equal(scene.sample(second, positive), of_second)
    alone = guide_attention(scene.model, Guidance(instances, 3.0, 0.0, 1.0, "reference", "sum"))
    assert torch.equal(scene.sample(alone, positive), of_second)
    assert differ(of_second, scene.sample(scene.model, positive))


@pytest.mark.slow
def test_two_guided_branches_of_one_workflow_are_as_alone(server: Server) -> None:
    """In the real server, which keeps the model and the photo of both."""
    first, second = every_node(), every_node(text="a green disc, a brown wall")
    second["guide"]["inputs"] |= {"strength": 9.0, "mode": "reference"}
    both = side_by_side(first, second)
    events = server.run(both)
    assert events[-1]["type"] == "execution_success", events[-1]
    done = {e["data"]["node"]: e for e in events if e["type"] == "executed"}
    found = [server.picture(done[f"save{number}"]) for number in range(2)]
    expected = []
    for workflow in (first, second):
        workflow["sample"]["inputs"]["cfg"] += 1e-9  # or the host would show what it has kept
        events = server.run(workflow)
        (kept,) = [e["data"]["nodes"] for e in events if e["type"] == "execution_cached"]
        assert "sample" not in kept
        expected.append(server.picture(saved(events)))
    assert {"load", "encode", "guide0", "guide1"} <= both.keys()
    for ours, alone in zip(found, expected, strict=True):
        assert (ours - alone).abs().max() <= 1 / 255
    assert (found[0] - found[1]).abs().mean() > 2 / 255


def test_the_source_of_a_guided_model_is_untouched(scene: Scene, plain: Tensor) -> None:
    weights = {name: value.clone() for name, value in scene.model.model_state_dict().items()}
    assert differ(scene.sample(scene.guided()), plain)
    assert torch.equal(scene.sample(scene.model), plain)
    after = scene.model.model_state_dict()
    assert all(torch.equal(after[name], value) for name, value in weights.items())


@pytest.mark.slow
@pytest.mark.parametrize("way", ["split", "quad", "pytorch"])
def test_other_ways_to_attend(comfyui: Path, way: str) -> None:
    """The host reads its flags once, so each needs a host of its own."""
    golden = Path(__file__).parent.parent / "nodes" / "test_golden.py"
    code = f"""
import pytest
from comfy.cli_args import args
args.cpu = args.use_{way}_cross_attention = True
from comfy.ldm.modules.attention import optimized_attention
assert "{way}" in optimized_attention.__name__, optimized_attention
raise SystemExit(pytest.main(["-q", "{golden.as_posix()}", "-k", "aware or published"]))
"""
    environment = {**os.environ, "PYTHONPATH": str(comfyui)}
    root = golden.parent.parent.parent
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=root, check=True)


@pytest.mark.parametrize(
    ("hint", "is_placed"),
    [((512, 704), True), ((750, 1000), True), ((512, 512), False), ((512, 900), False)],
)
def test_a_hint_of_nearly_the_photos_proportions_lies_on_it(
    control: Any, hint: tuple[int, int], is_placed: bool
) -> None:
    """Preprocessors round to multiples of 64: 1000 x 750 px becomes 704 x 512."""
    geometry = Geometry.fit((750, 1000), 64, squeeze=2.0)
    own = control.copy().set_cond_hint(torch.rand(1, 3, *hint))
    with hints_placed([{"control": own, GEOMETRY_KEY: geometry}]):
        assert (tuple(own.cond_hint_original.shape[2:]) == geometry.padded) is is_placed
