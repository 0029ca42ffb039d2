"""ComfyUI started with options that change how models are kept and how attention is computed."""

from pathlib import Path

import comfy.model_management as management
import pytest
import torch
from comfy.cli_args import args
from comfyui_server import Server, saved, start
from golden_weights import relative_error
from low_memory import use_low_memory
from sample_workflows import every_node, one_node
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from lcad_nodes.host.conditioning import Conditioning
from lcad_nodes.host.decoding import decode
from lcad_nodes.host.guidance import Guidance, guide_attention
from lcad_nodes.host.instances import encode_instances
from lcad_nodes.host.loading import Checkpoint, load_checkpoint
from lcad_nodes.host.luminance import encode_luminance
from lcad_nodes.host.sampling import SamplerSettings, sample


def encoded(checkpoint: Checkpoint, text: str) -> Conditioning:
    assert checkpoint.clip is not None
    return checkpoint.clip.encode_from_tokens_scheduled(checkpoint.clip.tokenize(text))


def colorize(checkpoint: Checkpoint, photo: Tensor) -> Tensor:
    """Everything that the networks do, guided."""
    assert checkpoint.clip is not None
    assert checkpoint.vae is not None
    luminance = encode_luminance(checkpoint.encoder, photo, 64)
    mask = torch.ones(photo.shape[2:])
    positive, instances = encode_instances(checkpoint.clip, "a red disc", "", [mask])
    model = guide_attention(checkpoint.model, Guidance(instances, 2.0, 0.0, 1.0, "fast", "sum"))
    settings = SamplerSettings(1, 3, 3.0, "euler", "normal", 1.0)
    latent = sample(model, positive, encoded(checkpoint, ""), luminance, settings)
    return decode(checkpoint.vae, latent["samples"], luminance, "decoder", True, 0)


@pytest.mark.parametrize(
    "state",
    [management.VRAMState.LOW_VRAM, management.VRAMState.NO_VRAM],
    ids=["--lowvram", "--novram"],
)
@torch.inference_mode()
def test_models_that_stay_out_of_the_devices_memory(
    small_checkpoint: Path,
    photo: Tensor,
    monkeypatch: pytest.MonkeyPatch,
    state: management.VRAMState,
) -> None:
    expected = colorize(load_checkpoint(str(small_checkpoint)), photo)
    use_low_memory(monkeypatch, state)
    checkpoint = load_checkpoint(str(small_checkpoint))
    found = colorize(checkpoint, photo)
    assert checkpoint.vae is not None
    patchers = checkpoint.model, checkpoint.encoder, checkpoint.vae.patcher
    assert all(patcher.model.model_lowvram for patcher in patchers)
    assert relative_error(found, expected) < 1e-5
    management.unload_all_models()


@pytest.mark.parametrize(("option", "bound"), [("fp16_vae", 0.005), ("bf16_vae", 0.03)])
@torch.inference_mode()
def test_the_photo_is_encoded_in_the_type_that_the_host_asks_for(
    small_checkpoint: Path,
    photo: Tensor,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    bound: float,
) -> None:
    """As it does by itself on a GPU that has the type."""
    encoder = load_checkpoint(str(small_checkpoint)).encoder
    expected = encode_luminance(encoder, photo, 64).features
    monkeypatch.setattr(args, option, True)
    found = encode_luminance(encoder, photo, 64).features
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype != theirs.dtype
        assert relative_error(ours, theirs) < bound


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--use-split-cross-attention", "--use-pytorch-cross-attention"])
def test_other_ways_to_compute_attention(
    tmp_path: Path,
    comfyui: Path,
    server: Server,
    small_checkpoint: Path,
    photo: Tensor,
    option: str,
) -> None:
    """Against the host's own choice on a processor, which is --use-quad-cross-attention."""
    to_pil_image(photo[0]).save(tmp_path / "photo.png")
    pictures = [tmp_path / "photo.png"]
    with start(comfyui, tmp_path / "base", small_checkpoint, pictures, [option]) as other:
        for workflow in (one_node(), every_node()):
            expected, found = (host.picture(saved(host.run(workflow))) for host in (server, other))
            assert (found - expected).abs().mean() < 0.2 / 255
