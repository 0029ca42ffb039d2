"""The diffusers networks against the golden tensors, and the way back."""

from collections.abc import Callable

import pytest
import torch
from golden_weights import Golden, relative_error, text_encoder_state_dict
from safetensors.torch import load_file

from lcad_nodes.model.checkpoint import (
    CheckpointParts,
    LayoutError,
    StateDict,
    split,
    unet_from_diffusers,
    unet_to_diffusers,
    vae_from_diffusers,
    vae_to_diffusers,
)
from lcad_nodes.model.decoding import add_luminance
from lcad_nodes.model.luminance import LuminanceEncoder, network_input
from lcad_nodes.training.networks import (
    SCALE_FACTOR,
    TextConfig,
    UNetConfig,
    WidthError,
    build_unet,
    conditioned_input,
    extend_first_convolution,
    load_text_encoder,
    load_unet,
    load_vae,
    text_from_transformers,
)
from lcad_nodes.training.start import start_with_identity


@pytest.fixture(scope="module")
def parts(golden: Golden) -> CheckpointParts:
    return split(load_file(golden.checkpoint))


@torch.no_grad()
def test_the_diffusers_unet_predicts_the_golden_noise(
    golden: Golden, parts: CheckpointParts
) -> None:
    unet = load_unet(parts.unet)
    g = golden.tensors
    for t in (981, 501, 1):
        noise = unet(
            conditioned_input(g["x_T"], g["luminance.9"]), torch.tensor([t]), g["context"]
        ).sample
        assert relative_error(noise, g[f"eps.t{t}"]) < 1e-5


@torch.no_grad()
def test_the_diffusers_vae_encodes_and_decodes_the_golden_picture(
    golden: Golden, parts: CheckpointParts
) -> None:
    vae, g = load_vae(parts.vae), golden.tensors
    encoder = LuminanceEncoder.from_state_dict(parts.encoder)
    mean = vae.encode(torch.tanh(2 * g["hint"])).latent_dist.mean  # pyright: ignore
    with add_luminance(vae.decoder, encoder(network_input(g["L"]))):
        decoded = vae.decode(g["ddim"] / SCALE_FACTOR).sample  # pyright: ignore
    assert relative_error(mean, g["encoded_mean"]) < 1e-5
    assert relative_error(decoded, g["decoded"]) < 1e-5


@pytest.mark.parametrize(
    ("part", "there", "back"),
    [
        ("unet", unet_to_diffusers, unet_from_diffusers),
        ("vae", vae_to_diffusers, vae_from_diffusers),
    ],
)
def test_the_conversion_loses_nothing_on_the_way_there_and_back(
    parts: CheckpointParts,
    part: str,
    there: Callable[[StateDict], StateDict],
    back: Callable[[StateDict], StateDict],
) -> None:
    before: StateDict = getattr(parts, part)
    after = back(there(before))
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_tensor_without_a_place_is_named(parts: CheckpointParts) -> None:
    with pytest.raises(LayoutError, match="surprise"):
        unet_to_diffusers({**parts.unet, "surprise.weight": torch.zeros(1)})


def test_levels_without_attention_are_found_off_the_tensors() -> None:
    config = UNetConfig((32, 64, 96), 1, (0, 1, 0))
    tensors = build_unet(config, 64, 32).state_dict()
    converted = unet_from_diffusers(tensors)
    assert UNetConfig.from_state_dict(unet_to_diffusers(converted)) == config
    assert load_unet(converted).state_dict().keys() == tensors.keys()


def test_the_text_encoder_goes_there_and_back() -> None:
    prefix = "cond_stage_model.transformer."
    tensors = text_encoder_state_dict(0, 64, 2)
    text = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    network = load_text_encoder(text)
    after = text_from_transformers(network.state_dict())
    assert TextConfig.from_state_dict(after) == TextConfig(64, 2)
    assert after.keys() == text.keys()
    assert all(torch.equal(after[name], text[name]) for name in text)


@torch.no_grad()
def test_the_extended_convolution_starts_without_effect() -> None:
    unet = build_unet(UNetConfig((32, 64), 1, (0, 1)), 64, 0)
    latent, luminance = torch.randn(1, 4, 8, 8), torch.randn(1, 32, 8, 8)
    before = unet.conv_in(latent)
    extend_first_convolution(unet, 32)
    assert torch.allclose(unet.conv_in(conditioned_input(latent, luminance)), before, atol=1e-6)


def test_attention_below_nothing_is_refused() -> None:
    with pytest.raises(WidthError, match=r"attention: expected values from 0 on, .* not \(0, -1\)"):
        UNetConfig((32, 64), 1, (0, -1))


@torch.no_grad()
@pytest.mark.parametrize("attention", [(0, 1), (1, 1)])
@pytest.mark.parametrize("widths", [(64, 128), (96, 96), (128, 128)])
def test_a_unet_from_nothing_takes_the_whole_latent_for_noise(
    widths: tuple[int, ...], attention: tuple[bool, ...]
) -> None:
    unet = build_unet(UNetConfig(widths, 1, attention), 64, 32)
    start_with_identity(unet)
    latent, luminance = torch.randn(2, 4, 16, 16), torch.randn(2, 32, 16, 16)
    t, context = torch.tensor([999, 500]), torch.randn(2, 77, 64)
    noise = unet(conditioned_input(latent, luminance), t, context).sample
    assert relative_error(noise, latent) < 0.15
