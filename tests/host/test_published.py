"""Checkpoints as they are published: of full size, with parts missing."""

import json
import math
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import comfy.model_management as management
import folder_paths
import nodes
import pytest
import torch
from comfy.cli_args import args
from comfy_api.latest import io
from golden_weights import GOLDEN, golden_state_dict, relative_error, text_encoder_shapes
from safetensors.torch import save_file
from torch import Tensor

from lcad_nodes.host.conditioning import extra_channels
from lcad_nodes.host.instances import encode_instances
from lcad_nodes.host.loading import load_checkpoint
from lcad_nodes.host.luminance import Luminance, encode_luminance
from lcad_nodes.model.checkpoint import (
    PREFIXES,
    CheckpointParts,
    StateDict,
    join,
    split,
    unet_from_diffusers,
    vae_from_diffusers,
)
from lcad_nodes.model.luminance import LuminanceEncoder, LuminanceEncoderConfig
from lcad_nodes.nodes.decode import Decode
from lcad_nodes.training.networks import UNetConfig, VAEConfig, build_unet, build_vae

Shapes = dict[str, list[int]]
EXTRAS: Shapes = {
    "betas": [1000],
    "alphas_cumprod": [1000],
    "logvar": [1000],
    "model_ema.decay": [1],
    "model_ema.diffusion_modeltime_embed0weight": [1280, 320],
    "first_stage_model.loss.logvar": [1],
    "first_stage_model.loss.discriminator.main.0.weight": [64, 3, 4, 4],
    "cond_stage_model.transformer.text_model.embeddings.position_ids": [1, 77],
}
"""What published files hold beside the networks."""


def published_shapes() -> Shapes:
    layout = json.loads((GOLDEN / "lcad_sd15.keys.json").read_text())
    return layout | text_encoder_shapes(768, 12)


def write_hollow(path: Path, shapes: Shapes) -> str:
    """Write a float32 safetensors file of zeros that takes no room on the disk."""
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    encoded = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        file.truncate(8 + len(encoded) + end)
    return str(path)


def shapes_of(tensors: StateDict, prefix: str) -> Shapes:
    return {prefix + name: list(tensor.shape) for name, tensor in tensors.items()}


def test_every_tensor_of_the_published_layout_finds_its_place(tmp_path: Path) -> None:
    published = published_shapes()
    loaded = load_checkpoint(write_hollow(tmp_path / "published.safetensors", published | EXTRAS))
    assert loaded.clip is not None
    assert loaded.vae is not None
    found = (
        shapes_of(loaded.model.model.diffusion_model.state_dict(), PREFIXES["unet"])
        | shapes_of(loaded.vae.get_sd(), PREFIXES["vae"])
        | shapes_of(loaded.clip.cond_stage_model.clip_l.transformer.state_dict(), PREFIXES["text"])
        | shapes_of(loaded.encoder.model.state_dict(), PREFIXES["encoder"])
    )
    # The host keeps a place for it; Stable Diffusion 1.x has none.
    del found[PREFIXES["text"] + "text_projection.weight"]
    unused = tuple(PREFIXES["encoder"] + name for name in ("norm_out.", "conv_out."))
    assert found == {k: v for k, v in published.items() if not k.startswith(unused)}
    assert extra_channels(loaded.model) == 512


@pytest.fixture
def hollow_vae(tmp_path: Path) -> str:
    """A checkpoint with the published VAE and luminance encoder, all zeros, and a small UNet."""
    shapes = {k: v for k, v in published_shapes().items() if k.startswith(PREFIXES["vae"])}
    return write_hollow(tmp_path / "hollow.safetensors", shapes | shapes_of(golden_unet(), ""))


def test_a_vae_and_encoder_narrower_than_the_published_are_exact_where_the_host_rounds(
    hollow_vae: str, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processor in the place of a GPU, on which the host picks bfloat16 by itself."""

    def types(path: str) -> list[torch.dtype]:
        loaded = load_checkpoint(path)
        vae: Any = loaded.vae
        weight = next(vae.first_stage_model.parameters())
        luminance = encode_luminance(loaded.encoder, torch.rand(1, 3, 8, 8), 0)
        return [vae.vae_dtype, weight.dtype, luminance.features[-1].dtype]

    narrow = str(small_checkpoint)
    assert types(hollow_vae) == types(narrow) == [torch.float32] * 3
    monkeypatch.setattr(management, "should_use_bf16", lambda *_args, **_options: True)
    assert types(hollow_vae) == [torch.bfloat16] * 3
    assert types(narrow) == [torch.float32] * 3
    monkeypatch.setattr(args, "bf16_vae", True)
    assert types(narrow) == [torch.bfloat16] * 3


MEASURE = """
import sys
sys.path[:0] = sys.argv[2:]
from comfy.cli_args import args
args.cpu = True
from pathlib import Path
from lcad_nodes.host.loading import load_checkpoint

def peak():
    (line,) = [l for l in open("/proc/self/status") if l.startswith("VmHWM")]
    return 1024 * int(line.split()[1])

before = peak()
loaded = load_checkpoint(sys.argv[1])
for patcher in (loaded.model, loaded.vae.patcher, loaded.encoder):
    for parameter in patcher.model.parameters():
        parameter.max()  # reads every page
print((peak() - before) / Path(sys.argv[1]).stat().st_size)
"""


def checkpoint_of_300_mb() -> StateDict:
    with torch.device("meta"):
        unet = build_unet(UNetConfig((96, 192, 384, 384)), 64, 128)
        vae = build_vae(VAEConfig((32, 64, 128, 128)))
        encoder = LuminanceEncoder(LuminanceEncoderConfig((32, 64, 128, 128)))
    parts = CheckpointParts(
        unet=unet_from_diffusers(unet.state_dict()),
        vae=vae_from_diffusers(vae.state_dict()),
        encoder=encoder.state_dict(),
        text={},
    )
    return {name: torch.ones(tensor.shape) for name, tensor in join(parts).items()}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
def test_loading_takes_hardly_more_memory_than_the_weights(
    tmp_path: Path, comfyui: Path, ending: str
) -> None:
    path = tmp_path / f"model.{ending}"
    if ending == "ckpt":
        torch.save({"state_dict": checkpoint_of_300_mb()}, path)
    else:
        save_file(checkpoint_of_300_mb(), path)
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", MEASURE, str(path), str(root), str(comfyui)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert float(result.stdout) < 1.2


@pytest.fixture(scope="module")
def without_vae_and_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small UNet and a full-size luminance encoder, and a full-size VAE beside."""
    folder = tmp_path_factory.mktemp("parts")
    torch.manual_seed(0)
    weights = {
        name: torch.randn(shape) / math.prod(shape[1:]) ** 0.5
        for name, shape in published_shapes().items()
        if name.startswith(PREFIXES["vae"])
    }
    parts = split(weights | golden_unet())
    save_file(parts.vae, folder / "vae.safetensors")
    save_file(join(parts), folder / "whole.safetensors")
    save_file(join(replace(parts, vae={})), folder / "part.safetensors")
    return folder


def golden_unet() -> StateDict:
    return {k: v for k, v in golden_state_dict(0).items() if k.startswith(PREFIXES["unet"])}


def decode(vae: Any, latent: Tensor, luminance: Luminance) -> Tensor:
    """Decode with the network's own lightness, and all else as a new node has it."""
    inputs = Decode.define_schema().inputs
    settings = {entry.id: entry.default for entry in inputs if isinstance(entry, io.WidgetInput)}
    settings["lightness"] = "decoder"
    return Decode.execute(vae, {"samples": latent}, luminance, **settings).args[0]


@pytest.mark.slow
def test_the_hosts_own_vae_decodes_with_the_luminance(without_vae_and_text: Path) -> None:
    loaded = load_checkpoint(str(without_vae_and_text / "part.safetensors"))
    assert loaded.vae is None
    photo = torch.rand(1, 3, 64, 64)
    latent = torch.randn(1, 4, 8, 8)
    folder_paths.add_model_folder_path("vae", str(without_vae_and_text))
    (vae,) = nodes.VAELoader().load_vae("vae.safetensors")
    with torch.inference_mode():
        luminance = encode_luminance(loaded.encoder, photo, 0)
        found = decode(vae, latent, luminance)
        own = load_checkpoint(str(without_vae_and_text / "whole.safetensors")).vae
        assert own is not None
        torch.testing.assert_close(found, decode(own, latent, luminance))
        plain = vae.decode(latent)
    assert relative_error(found, plain) > 0.1


def test_the_hosts_own_text_encoder_finds_the_phrases(tmp_path: Path) -> None:
    prefix = PREFIXES["text"]
    shapes = {k.removeprefix(prefix): v for k, v in text_encoder_shapes(768, 12).items()}
    write_hollow(tmp_path / "text.safetensors", shapes)
    folder_paths.add_model_folder_path("text_encoders", str(tmp_path))
    (clip,) = nodes.CLIPLoader().load_clip("text.safetensors", "stable_diffusion")
    conditioning, instances = encode_instances(clip, "a red car", "red car", [torch.ones(8, 8)])
    assert conditioning[0][0].shape == (1, 77, 768)
    assert [item.tokens for item in instances.items] == [(2, 3)]
