"""A checkpoint's additions, taken off it and put onto other models in the real host."""

import logging
from pathlib import Path
from typing import Any

import comfy.model_detection
import folder_paths
import nodes
import pytest
import torch
from comfy.model_base import BaseModel
from comfy.model_patcher import ModelPatcher
from golden_weights import golden_state_dict, relative_error, text_encoder_state_dict
from safetensors.torch import save_file
from torch import Tensor

from lcad_nodes.host.conditioning import ConditioningError
from lcad_nodes.host.loading import Checkpoint, LuminanceSD15, extra_channels, load_checkpoint
from lcad_nodes.host.luminance import Luminance, encode_luminance
from lcad_nodes.host.patch import FOLDER, apply_patch, extract_patch
from lcad_nodes.host.sampling import SamplerSettings, sample
from lcad_nodes.model.checkpoint import PREFIXES, StateDict, split
from lcad_nodes.model.patch import FIRST_CONVOLUTION, PatchError
from lcad_nodes.nodes.patch import ApplyPatch, ExtractPatch

SETTINGS = SamplerSettings(0, 2, 2.0, "euler", "normal", 1.0)
CPU = torch.device("cpu")


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


def plain_model(unet: StateDict) -> ModelPatcher:
    """Put a small UNet into the host's own class; the host itself detects only the full size."""
    model = BaseModel(LuminanceSD15(comfy.model_detection.detect_unet_config(unet, "")), device=CPU)
    model.load_model_weights(dict(unet))
    return ModelPatcher(model, CPU, CPU)


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
    assert extra_channels(patched) == encoder.model.gray_channels


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
