"""A checkpoint's additions, taken off it and put onto other models in the real host."""

import gc
import logging
import weakref
from pathlib import Path
from typing import Any

import comfy.model_management as management
import comfy.sd
import folder_paths
import nodes
import pytest
import torch
from comfy.model_patcher import ModelPatcher
from golden_weights import golden_state_dict, relative_error, text_encoder_state_dict
from low_memory import use_low_memory
from plain_models import plain_model
from safetensors.torch import load_file, save_file
from torch import Tensor

from lcad_nodes.host.conditioning import (
    ConditioningError,
    add_luminance,
    empty_latent,
    extra_channels,
)
from lcad_nodes.host.guidance import Guidance, Mode, guide_attention
from lcad_nodes.host.instances import encode_instances
from lcad_nodes.host.loading import Checkpoint, build_encoder, load_checkpoint
from lcad_nodes.host.luminance import CHECKPOINTS, Luminance, encode_luminance
from lcad_nodes.host.patch import FOLDER, apply_patch, extract_patch
from lcad_nodes.host.sampling import SamplerSettings, sample
from lcad_nodes.model.checkpoint import PREFIXES, StateDict, split
from lcad_nodes.model.patch import FIRST_CONVOLUTION, PatchError
from lcad_nodes.nodes.patch import ApplyPatch, ExtractPatch

SETTINGS = SamplerSettings(0, 2, 2.0, "euler", "normal", 1.0)


def moved(tensors: StateDict, blocks: str, seed: int) -> StateDict:
    """Train some blocks, as it were: every weight moves a little."""
    generator = torch.Generator().manual_seed(seed)
    return tensors | {
        name: weight + 0.02 * torch.randn(weight.shape, generator=generator)
        for name, weight in tensors.items()
        if name.startswith(PREFIXES["unet"] + blocks)
    }


class Family:
    """A luminance-conditioned checkpoint, its base, a fine-tuned one, and the patch."""

    def __init__(self, folder: Path) -> None:
        original = golden_state_dict(0) | text_encoder_state_dict(0, width=64, layers=2)
        first = PREFIXES["unet"] + FIRST_CONVOLUTION
        base = {k: v for k, v in original.items() if not k.startswith(PREFIXES["encoder"])}
        base = moved(base | {first: original[first][:, :4].contiguous()}, "output_blocks", 1)
        self.base = split(base).unet
        self.tuned = split(moved(base, "", 2)).unet
        self.files = {name: str(folder / f"{name}.safetensors") for name in ("original", "base")}
        save_file(original, self.files["original"])
        save_file(base, self.files["base"])
        self.patch = str(self.extract())
        self.loaded: Checkpoint = load_checkpoint(self.files["original"])
        self.original = split(original).unet
        self.luminance = encode_luminance(self.loaded.encoder, photo(0), 0)
        clip: Any = self.loaded.clip
        self.positive = clip.encode_from_tokens_scheduled(clip.tokenize("a red car"))
        self.negative = clip.encode_from_tokens_scheduled(clip.tokenize(""))

    def extract(self) -> Path:
        return extract_patch(self.files["original"], self.files["base"], "model_patches/lcad")

    def sample(self, model: ModelPatcher, luminance: Luminance | None = None) -> Tensor:
        seen = luminance or self.luminance
        return sample(model, self.positive, self.negative, seen, SETTINGS)["samples"]

    def sample_plain(self, model: ModelPatcher) -> Tensor:
        latent = {"samples": torch.zeros(1, 4, 8, 8)}
        sampler = (model, 0, 2, 2.0, "euler", "normal")
        return nodes.KSampler().sample(*sampler, self.positive, self.negative, latent)[0]["samples"]


def photo(seed: int) -> Tensor:
    return torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def weights(model: ModelPatcher) -> StateDict:
    """The weights that the host computes with."""
    model.patch_model()
    found = {k: v.clone() for k, v in model.model.diffusion_model.state_dict().items()}
    model.unpatch_model()
    return found


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    with torch.inference_mode():
        return Family(tmp_path_factory.mktemp("family"))


@pytest.fixture(autouse=True)
def _as_the_host_runs_nodes() -> Any:
    with torch.inference_mode():
        yield


def test_base_and_patch_are_the_original(family: Family) -> None:
    patched, encoder = apply_patch(plain_model(family.base), family.patch, 1.0)
    for name, weight in weights(patched).items():
        assert relative_error(weight, family.original[name]) <= 1e-6, name
    assert extra_channels(patched) == extra_channels(family.loaded.model) == 128
    luminance = encode_luminance(encoder, photo(1), 0)
    found = family.sample(patched, luminance)
    expected = family.sample(family.loaded.model, luminance)
    assert relative_error(found, expected) <= 1e-5


def test_a_patch_works_at_the_size_that_its_original_was_trained_at(
    family: Family, tmp_path: Path
) -> None:
    stated = str(tmp_path / "stated.safetensors")
    save_file(load_file(family.files["original"]), stated, {"modelspec.resolution": "96x72"})
    patch = extract_patch(stated, family.files["base"], "model_patches/stated")
    for path, working in ((str(patch), (72, 72)), (family.patch, (256, 256))):
        _, encoder = apply_patch(plain_model(family.base), path, 1.0)
        assert encode_luminance(encoder, photo(0), CHECKPOINTS).geometry.working == working


def test_a_fine_tuned_model_keeps_what_it_has_learned(family: Family) -> None:
    found = weights(apply_patch(plain_model(family.tuned), family.patch, 1.0)[0])
    changed = 0
    for name, weight in family.tuned.items():
        if name == FIRST_CONVOLUTION:
            assert torch.equal(found[name][:, :4], weight)
            assert torch.equal(found[name][:, 4:], family.original[name][:, 4:])
        elif torch.equal(family.original[name], family.base[name]):
            assert torch.equal(found[name], weight)
        else:
            learned = family.original[name] - family.base[name]
            torch.testing.assert_close(found[name], weight + learned)
            changed += 1
    assert changed > 10


def test_strength_zero_leaves_the_output_untouched(family: Family) -> None:
    model = plain_model(family.base)
    before = family.sample_plain(model)
    off, full = (apply_patch(model, family.patch, strength)[0] for strength in (0.0, 1.0))
    assert relative_error(family.sample(off), before) <= 1e-6
    assert relative_error(family.sample(full), before) > 0.01
    assert torch.equal(family.sample_plain(model), before)


def test_strength_is_a_factor_of_the_differences(family: Family) -> None:
    found = weights(apply_patch(plain_model(family.base), family.patch, 0.5)[0])
    half = family.original[FIRST_CONVOLUTION][:, 4:] / 2
    torch.testing.assert_close(found[FIRST_CONVOLUTION][:, 4:], half)


def test_a_patched_model_reads_the_luminance_and_asks_for_it(family: Family) -> None:
    model = plain_model(family.tuned)
    patched, encoder = apply_patch(model, family.patch, 1.0)
    other = encode_luminance(encoder, photo(1), 0)
    assert relative_error(family.sample(patched), family.sample(patched, other)) > 1e-3
    with pytest.raises(ConditioningError, match="put 'Add Photo to Prompts"):
        family.sample_plain(patched)
    assert family.sample_plain(model).isfinite().all()


def test_a_patched_model_refuses_what_another_files_encoder_has_read(family: Family) -> None:
    patched, _ = apply_patch(plain_model(family.base), family.patch, 1.0)
    other = build_encoder(split(golden_state_dict(1)).encoder, "other.safetensors")
    message = rf"encoder of other\.safetensors, but the model of {Path(family.patch).name} was"
    with pytest.raises(ConditioningError, match=message):
        family.sample(patched, encode_luminance(other, photo(0), 0))


def test_a_patched_model_refuses_prompts_of_different_photos(family: Family) -> None:
    patched, encoder = apply_patch(plain_model(family.base), family.patch, 1.0)
    luminances = (encode_luminance(encoder, photo(number), 0) for number in range(2))
    positive, negative = map(add_luminance, (family.positive, family.negative), luminances)
    sampler = (patched, 0, 2, 2.0, "euler", "normal")
    with pytest.raises(ConditioningError, match="the luminance of different photos"):
        nodes.KSampler().sample(*sampler, positive, negative, empty_latent(family.luminance))


def guided(family: Family, model: ModelPatcher, mode: Mode = "fast") -> Tensor:
    """Sample with the left half's and the right half's phrases kept to them."""
    left = torch.zeros(64, 64)
    left[:, :32] = 1
    clip: Any = family.loaded.clip
    positive, instances = encode_instances(clip, "a red cup, a blue hat", "", [left, 1 - left])
    guiding = guide_attention(model, Guidance(instances, 3.0, 0.0, 1.0, mode, "sum"))
    inputs = (positive, family.negative, family.luminance, SETTINGS)
    return sample(guiding, *inputs)["samples"]


@pytest.mark.parametrize("mode", ["fast", "reference"])
def test_a_patched_model_is_guided_as_the_original(family: Family, mode: Mode) -> None:
    patched, _ = apply_patch(plain_model(family.base), family.patch, 1.0)
    found = guided(family, patched, mode)
    assert relative_error(found, guided(family, family.loaded.model, mode)) <= 1e-5
    assert relative_error(found, family.sample(patched)) > 1e-3


LORA = {
    "conv_in": FIRST_CONVOLUTION,
    "up_blocks_3_attentions_0_transformer_blocks_0_attn2_to_v": (
        "output_blocks.9.1.transformer_blocks.0.attn2.to_v.weight"
    ),
}
"""A layer that a patch extends, and one that it changes: in LoRAs, and in the network."""


def with_lora(model: ModelPatcher, network: str) -> ModelPatcher:
    """Put a LoRA onto one layer, in the names that LoRAs are published with."""
    shape = model.get_key_patches()[f"diffusion_model.{LORA[network]}"][0][0].shape
    ranks = {"lora_up": (shape[0], 2, 1, 1), "lora_down": (2, *shape[1:])}
    generator = torch.Generator().manual_seed(3)
    lora = {
        f"lora_unet_{network}.{name}.weight": torch.randn(
            size if len(shape) == 4 else size[:2], generator=generator
        )
        for name, size in ranks.items()
    }
    styled: Any = comfy.sd.load_lora_for_models(model, None, lora, 0.3, 0.0)[0]
    return styled


@pytest.mark.parametrize("network", LORA)
def test_a_lora_counts_as_much_on_a_patched_model(family: Family, network: str) -> None:
    """Before the patch; after it too, but the host leaves it off the layer that is extended."""
    model = plain_model(family.base)
    patched, _ = apply_patch(model, family.patch, 1.0)
    plain = weights(patched)[LORA[network]]
    lora = weights(with_lora(model, network))[LORA[network]] - family.base[LORA[network]]
    styled, _ = apply_patch(with_lora(model, network), family.patch, 1.0)
    found = weights(styled)[LORA[network]] - plain
    assert relative_error(found[:, : lora.shape[1]], lora) <= 1e-5
    after = weights(with_lora(patched, network))[LORA[network]] - plain
    assert same(after, found) if network != "conv_in" else not after.any()
    assert relative_error(guided(family, styled), guided(family, patched)) > 1e-3


@pytest.mark.parametrize(
    "state", [management.VRAMState.LOW_VRAM, management.VRAMState.NO_VRAM], ids=["low", "no"]
)
def test_a_patched_model_with_a_lora_in_low_memory(
    family: Family, monkeypatch: pytest.MonkeyPatch, state: management.VRAMState
) -> None:
    styled = with_lora(plain_model(family.base), "conv_in")
    patched, _ = apply_patch(styled, family.patch, 1.0)
    expected = guided(family, patched)
    use_low_memory(monkeypatch, state)
    assert same(guided(family, patched), expected)
    assert patched.model.model_lowvram
    management.unload_all_models()


def same(first: Tensor, second: Tensor) -> bool:
    return relative_error(first, second) <= 1e-5


def test_a_patched_model_is_freed_when_it_is_no_longer_used(family: Family) -> None:
    """The host says that memory leaks where that takes a collection of garbage."""
    model = plain_model(family.base)
    patched, _ = apply_patch(model, family.patch, 1.0)
    assert family.sample(patched).isfinite().all()
    network = weakref.ref(model.model)
    management.unload_all_models()
    gc.collect()
    gc.disable()
    del model, patched
    try:
        assert network() is None
    finally:
        gc.enable()


def test_a_patch_holds_nothing_that_did_not_change(family: Family) -> None:
    size = Path(family.patch).stat().st_size
    blocks = [v for k, v in family.original.items() if k.startswith("output_blocks")]
    encoder = split(golden_state_dict(0)).encoder.values()
    first = family.original[FIRST_CONVOLUTION]
    held = 4 * sum(tensor.numel() for tensor in [first, *blocks, *encoder])
    assert held < size < 1.1 * held
    assert Path(family.patch).parent == Path(folder_paths.get_output_directory()) / "model_patches"


def test_patches_of_one_name_do_not_overwrite_each_other(family: Family) -> None:
    assert family.extract() != Path(family.patch)


def test_the_nodes_save_a_patch_and_find_it_by_name(family: Family) -> None:
    folder_paths.add_model_folder_path("checkpoints", str(Path(family.files["base"]).parent))
    folder_paths.add_model_folder_path(FOLDER, str(Path(family.patch).parent))
    ExtractPatch.execute("original.safetensors", "base.safetensors", f"{FOLDER}/node")
    name = "node_00001_.safetensors"
    assert name in folder_paths.get_filename_list(FOLDER)
    patched, encoder = ApplyPatch.execute(plain_model(family.base), name, 1.0).args
    assert extra_channels(patched) == encoder.model.config.widths[-1]


def test_a_base_in_another_type_makes_a_patch_of_the_same_tensors(
    family: Family, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    half = str(tmp_path / "half.safetensors")
    save_file({k: v.half() for k, v in load_file(family.files["base"]).items()}, half)
    with caplog.at_level(logging.WARNING):
        patch = extract_patch(family.files["original"], half, "model_patches/half")
    assert load_file(patch).keys() == load_file(family.patch).keys()
    assert "is not the base's" not in caplog.text


def test_a_changed_text_encoder_is_named(
    family: Family, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = text_encoder_state_dict(1, width=64, layers=2)
    path = tmp_path / "other.safetensors"
    save_file(golden_state_dict(0) | other, path)
    with caplog.at_level(logging.WARNING):
        extract_patch(str(path), family.files["base"], "model_patches/other")
    assert "text encoder is not the base's" in caplog.text
    assert "VAE" not in caplog.text


@pytest.mark.parametrize(
    ("original", "base", "message"),
    [
        ("base", "base", "holds no luminance encoder"),
        ("original", "original", "reads 132 input channels and the base 132"),
    ],
)
def test_checkpoints_that_make_no_patch(
    family: Family, original: str, base: str, message: str
) -> None:
    with pytest.raises(PatchError, match=message):
        extract_patch(family.files[original], family.files[base], "model_patches/no")


def test_what_a_patch_does_not_fit(family: Family) -> None:
    model = plain_model(family.base)
    with pytest.raises(PatchError, match=r"base.safetensors: it is not a patch"):
        apply_patch(model, family.files["base"], 1.0)
    patched, _ = apply_patch(model, family.patch, 1.0)
    for taken in (patched, family.loaded.model):
        with pytest.raises(PatchError, match="does not read luminance yet"):
            apply_patch(taken, family.patch, 1.0)
    shallow = {k: v for k, v in family.base.items() if not k.startswith("output_blocks.11.1")}
    with pytest.raises(PatchError, match=r"the patch changes output_blocks\.11\.1\."):
        apply_patch(plain_model(shallow), family.patch, 1.0)
