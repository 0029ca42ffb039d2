"""Loading real files into the real host."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import comfy.memory_management
import comfy.utils
import folder_paths
import pytest
import torch
from comfy_extras.nodes_model_merging import CheckpointSave
from golden_weights import golden_state_dict, text_encoder_state_dict
from safetensors.torch import save_file
from torch import Tensor

from lcad_nodes.host.conditioning import extra_channels
from lcad_nodes.host.files import read_tensors
from lcad_nodes.host.loading import (
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    load_unet,
)
from lcad_nodes.model.checkpoint import (
    PREFIXES,
    CheckpointParts,
    join,
    split,
    unet_from_diffusers,
    unet_to_diffusers,
    vae_from_diffusers,
)
from lcad_nodes.model.luminance import LuminanceEncoder, LuminanceEncoderConfig
from lcad_nodes.training.networks import (
    TextConfig,
    UNetConfig,
    VAEConfig,
    build_text_encoder,
    build_unet,
    build_vae,
)

UNUSED = "text_projection"
"""Of a text encoder: the host makes one, without values, and SD 1.x has none."""


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return golden_state_dict(0) | text_encoder_state_dict(0, width=64, layers=2)


def write(path: Path, tensors: dict[str, Tensor]) -> str:
    save_file(tensors, path)
    return str(path)


def test_every_part_is_the_hosts_own(small_checkpoint: Path) -> None:
    loaded = load_checkpoint(str(small_checkpoint))
    assert extra_channels(loaded.model) == 128
    assert type(loaded.model.model.diffusion_model).__module__.startswith("comfy.")
    assert loaded.clip is not None
    assert loaded.vae is not None
    conditioning = loaded.clip.encode_from_tokens_scheduled(loaded.clip.tokenize("a red car"))
    assert conditioning[0][0].shape == (1, 77, 64)
    assert isinstance(loaded.encoder.model, LuminanceEncoder)
    network: Any = loaded.vae.first_stage_model
    attention = loaded.encoder.model.mid.attn_1.attention
    assert attention is network.decoder.mid.attn_1.optimized_attention  # as options have it


def test_a_lightning_checkpoint_loads_like_safetensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tensors: dict[str, Tensor]
) -> None:
    """Lightning's files also hold where training was, and name a class of its own there."""
    path = tmp_path / "model.ckpt"
    module: Any = ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": module.__name__})
    monkeypatch.setitem(sys.modules, "pytorch_lightning", ModuleType("pytorch_lightning"))
    monkeypatch.setitem(
        sys.modules, "pytorch_lightning.callbacks", ModuleType("pytorch_lightning.callbacks")
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    training = {
        "epoch": 3,
        "global_step": 100,
        "pytorch-lightning_version": "1.5.0",
        "callbacks": {module.ModelCheckpoint: {"best_model_score": torch.tensor(0.1)}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(4)}}}],
    }
    torch.save(training | {"state_dict": tensors}, path)
    loaded = load_checkpoint(str(path))
    name = "input_blocks.0.0.weight"
    found = loaded.model.model.diffusion_model.state_dict()[name]
    assert torch.equal(found, tensors[PREFIXES["unet"] + name])


def test_widths_depths_and_attention_are_read_off_the_tensors(tmp_path: Path) -> None:
    """Another shape than the published one in every network, from training's own."""
    torch.manual_seed(0)
    unet = build_unet(UNetConfig((32, 64, 64, 96), 1, (0, 2, 1, 3)), 192, 64)
    vae: Any = build_vae(VAEConfig((32, 32, 64, 64), 1))
    text = build_text_encoder(TextConfig(192, 3))
    encoder = LuminanceEncoder(LuminanceEncoderConfig((32, 32, 64, 64), 2))
    parts = CheckpointParts(
        unet=unet_from_diffusers(unet.state_dict()),
        vae=vae_from_diffusers(vae.state_dict()),
        encoder=encoder.state_dict(),
        text=text.state_dict(),
    )
    loaded = load_checkpoint(write(tmp_path / "other.safetensors", join(parts)))
    assert loaded.clip is not None
    assert loaded.vae is not None
    latent, context = torch.randn(2, 68, 8, 16), torch.randn(2, 77, 192)
    with torch.no_grad():
        expected = unet(latent, 500, context).sample
        found = loaded.model.model.diffusion_model(latent, torch.tensor([500, 500]), context)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)

        expected = vae.decoder(vae.post_quant_conv(latent[:, :4]))
        found = loaded.vae.decode(latent[:, :4]).movedim(-1, 1) * 2 - 1
        torch.testing.assert_close(found, expected.clamp(-1, 1), rtol=1e-4, atol=1e-4)

        tokens = loaded.clip.tokenize("a red car and a blue hat")
        ids = torch.tensor([[token for token, _ in tokens["l"][0]]])
        expected = text(ids).last_hidden_state
        found = loaded.clip.encode_from_tokens(tokens)
    # The host keeps text encoders in half precision.
    torch.testing.assert_close(found, expected, rtol=0.01, atol=0.01)


def test_what_the_host_saves_is_a_checkpoint_again(small_checkpoint: Path) -> None:
    """With its changes, as of a LoRA, and the encoder, of which the host knows nothing."""
    first = load_checkpoint(str(small_checkpoint))
    expected = {key: tensor.clone() for key, tensor in weights(first).items()}
    name = "diffusion_model.out.2.bias"
    changed = first.model.clone()
    changed.add_patches({name: ("diff", (torch.ones(4),))})
    with torch.inference_mode():
        CheckpointSave().save(changed, first.clip, first.vae, "checkpoints/saved")
    (saved,) = (Path(folder_paths.get_output_directory()) / "checkpoints").glob("saved_*")
    found = weights(load_checkpoint(str(saved)))
    expected[name.replace("diffusion_model", "0")] += 1
    assert found.keys() == expected.keys()
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor)


@pytest.fixture
def dynamic_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host as it is with an NVIDIA GPU: linear layers have no weights before they are loaded.

    Files are read as before: the host's own reader of this mode needs a GPU's driver.
    """
    load = comfy.utils.load_torch_file

    def without(path: str, **options: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(comfy.memory_management, "aimdo_enabled", False)
            return load(path, **options)

    monkeypatch.setattr(comfy.utils, "load_torch_file", without)
    monkeypatch.setattr(comfy.memory_management, "aimdo_enabled", True)


def weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    assert checkpoint.clip is not None
    assert checkpoint.vae is not None
    networks: tuple[torch.nn.Module, ...] = (
        checkpoint.model.model.diffusion_model,
        checkpoint.clip.cond_stage_model,
        checkpoint.vae.patcher.model,
        checkpoint.encoder.model,
    )
    return {
        f"{number}.{name}": tensor
        for number, network in enumerate(networks)
        for name, tensor in network.state_dict().items()
        if UNUSED not in name
    }


def test_dynamic_memory_loads_the_same(
    small_checkpoint: Path, request: pytest.FixtureRequest
) -> None:
    expected = weights(load_checkpoint(str(small_checkpoint)))
    request.getfixturevalue("dynamic_memory")
    found = weights(load_checkpoint(str(small_checkpoint)))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        # Half precision, which the host otherwise makes of them at once.
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-3, check_dtype=False)


@pytest.mark.usefixtures("dynamic_memory")
def test_dynamic_memory_names_tensors_that_do_not_fit(
    tmp_path: Path, tensors: dict[str, Tensor]
) -> None:
    text = PREFIXES["text"] + "text_model.encoder.layers.0.self_attn.q_proj.weight"
    unet = PREFIXES["unet"] + "time_embed.0.bias"
    for name in (text, unet):
        content = tensors | {name: torch.zeros(3, 3)}
        with pytest.raises(CheckpointError, match=r"is \(3, 3\) instead of"):
            load_checkpoint(write(tmp_path / "misshapen.safetensors", content))


@pytest.mark.usefixtures("dynamic_memory")
def test_a_second_one_without_dynamic_memory_can_be_written_to(
    small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host maps files for reading alone, and writes LoRAs and hooks into such a model."""
    tensors = read_tensors(str(small_checkpoint))
    monkeypatch.setattr("lcad_nodes.host.loading.read_tensors", lambda _path: tensors)
    model = load_unet(str(small_checkpoint), disable_dynamic=True)
    mapped = {tensor.data_ptr() for tensor in tensors.values()}
    assert not mapped & {weight.data_ptr() for weight in model.model.diffusion_model.parameters()}


@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_a_vae_without_one_of_its_halves_is_named(
    tmp_path: Path, tensors: dict[str, Tensor], half: str
) -> None:
    prefix = f"{PREFIXES['vae']}{half}."
    pruned = {name: tensor for name, tensor in tensors.items() if not name.startswith(prefix)}
    with pytest.raises(CheckpointError, match=rf"the VAE of .* has no '{half}\."):
        load_checkpoint(write(tmp_path / "pruned.safetensors", pruned))


@pytest.mark.parametrize("load", [load_checkpoint, load_unet])
def test_a_luminance_encoder_that_is_not_whole_is_named(
    tmp_path: Path, tensors: dict[str, Tensor], load: Callable[[str], Any]
) -> None:
    last = PREFIXES["encoder"] + "zero_conv_mid2.weight"
    path = write(tmp_path / "part.safetensors", {k: v for k, v in tensors.items() if k != last})
    with pytest.raises(CheckpointError, match=r"part\.safetensors.* zero_conv_mid2\.weight"):
        load(path)


@pytest.mark.parametrize("part", ["clip", "vae", "model"])
def test_the_host_can_ask_for_a_second_one(small_checkpoint: Path, part: str) -> None:
    """As it does with a text encoder that gets hooks, and for a second GPU."""
    loaded = getattr(load_checkpoint(str(small_checkpoint)), part)
    patcher = getattr(loaded, "patcher", loaded)
    second = patcher.clone(force_deepcopy=True)
    assert second.model is not patcher.model
    first = patcher.model.state_dict()
    for name, tensor in second.model.state_dict().items():
        assert UNUSED in name or tensor.equal(first[name])


def test_a_second_model_has_the_firsts_previews_and_is_saved_as_a_whole_too(
    small_checkpoint: Path,
) -> None:
    first = load_checkpoint(str(small_checkpoint)).model
    second = first.clone(force_deepcopy=True)
    assert second.model.latent_format is first.model.latent_format
    saved, again = (
        each.model.state_dict_for_saving({}, vae_state_dict={}) for each in (first, second)
    )
    assert saved.keys() == again.keys() != set()


def test_textual_inversions_are_found_where_the_host_keeps_them(
    small_checkpoint: Path, tmp_path: Path
) -> None:
    torch.save({"string_to_param": {"*": torch.randn(2, 768)}}, tmp_path / "rust.pt")
    folder_paths.add_model_folder_path("embeddings", str(tmp_path))
    clip = load_checkpoint(str(small_checkpoint)).clip
    assert clip is not None
    (chunk,) = clip.tokenize("embedding:rust")["l"]
    assert sum(torch.is_tensor(token) for token, _ in chunk) == 2


@pytest.mark.parametrize(("part", "missing"), [("text", "text encoder"), ("vae", "VAE")])
def test_a_missing_part_is_named(
    tmp_path: Path,
    tensors: dict[str, Tensor],
    caplog: pytest.LogCaptureFixture,
    part: str,
    missing: str,
) -> None:
    encoder, prefix = PREFIXES["encoder"], PREFIXES[part]
    kept = {k: v for k, v in tensors.items() if not k.startswith(prefix) or k.startswith(encoder)}
    with caplog.at_level(logging.WARNING):
        loaded = load_checkpoint(write(tmp_path / "part.safetensors", kept))
    assert f"part.safetensors holds no {missing}" in caplog.text
    assert (loaded.clip is None, loaded.vae is None) == (part == "text", part == "vae")


@pytest.mark.parametrize("layout", ["published", "without prefix", "diffusers"])
def test_a_unet_alone_loads_in_every_layout(
    tmp_path: Path, tensors: dict[str, Tensor], layout: str
) -> None:
    unet = split(tensors).unet
    files = {
        "published": {PREFIXES["unet"] + name: weight for name, weight in unet.items()},
        "without prefix": unet,
        "diffusers": unet_to_diffusers(unet),
    }
    model = load_unet(write(tmp_path / "unet.safetensors", files[layout]))
    found = model.model.diffusion_model.state_dict()
    assert found.keys() == unet.keys()
    assert all(torch.equal(found[name], weight) for name, weight in unet.items())


def test_a_diffusers_unet_of_another_kind_is_named(
    tmp_path: Path, tensors: dict[str, Tensor]
) -> None:
    unet = unet_to_diffusers(split(tensors).unet)
    unet["add_embedding.linear_1.weight"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match=r"xl.safetensors: .*add_embedding.linear_1.weight"):
        load_unet(write(tmp_path / "xl.safetensors", unet))


def test_other_models_are_told_apart(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    first = PREFIXES["unet"] + "input_blocks.0.0.weight"
    lora = {"lora_unet_down_blocks_0.lora_up.weight": torch.zeros(4, 4)}
    plain = tensors | {first: tensors[first][:, :4].contiguous()}
    no_encoder = {k: v for k, v in tensors.items() if not k.startswith(PREFIXES["encoder"])}
    inpainting = tensors | {first: tensors[first][:, :9].contiguous()}
    files = {
        "LoRA": lora,
        "without luminance.* 4 input": plain,
        "without luminance.* 9 input": inpainting,
        "no luminance encoder": no_encoder,
    }
    for number, (message, content) in enumerate(files.items()):
        path = write(tmp_path / f"{number}.safetensors", content)
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(path)


def test_tensors_that_do_not_fit_are_named(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    name = PREFIXES["unet"] + "middle_block.0.in_layers.2.weight"
    other = PREFIXES["unet"] + "middle_block.0.new"
    files = {
        "lacks middle_block.0.in_layers.2.weight": {k: v for k, v in tensors.items() if k != name},
        "has unknown middle_block.0.new": tensors | {other: torch.zeros(1)},
        r"in_layers.2.weight is \(1,\) instead of": tensors | {name: torch.zeros(1)},
    }
    for number, (message, content) in enumerate(files.items()):
        path = write(tmp_path / f"{number}.safetensors", content)
        with pytest.raises(CheckpointError, match=f"the UNet of {number}.safetensors.*{message}"):
            load_checkpoint(path)
