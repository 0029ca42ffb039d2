"""Decoding in tiles, against decoding in one piece in the real host."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import comfy.sd
import pytest
import torch
from comfy.cli_args import args
from torch import Tensor

from lcad_nodes.host.decoding import DecodingError, Lightness, decode
from lcad_nodes.host.loading import load_checkpoint
from lcad_nodes.host.luminance import Luminance, encode_luminance


@dataclass
class Scene:
    """A photo that is blank on the left, so that its tiles differ much, with a made-up latent."""

    vae: comfy.sd.VAE
    luminance: Luminance
    latent: Tensor

    def decode(self, tile_size: int, lightness: Lightness = "decoder", full: bool = True) -> Tensor:
        return decode(self.vae, self.latent, self.luminance, lightness, full, tile_size)


@pytest.fixture(scope="module")
def scene(small_checkpoint: Path) -> Scene:
    loaded = load_checkpoint(str(small_checkpoint))
    assert loaded.vae is not None
    seeded = torch.manual_seed(0)
    photo = torch.rand(1, 3, 64, 192, generator=seeded)
    photo[..., :80] = 0.9
    latent = torch.randn(1, 4, 8, 24, generator=seeded)
    latent[..., :10] *= 0.2
    with torch.inference_mode():
        return Scene(loaded.vae, encode_luminance(loaded.encoder, photo, 0), latent)


@pytest.mark.parametrize("tile_size", [64, 72])
@torch.inference_mode()
def test_tiles_give_the_picture_of_one_piece(scene: Scene, tile_size: int) -> None:
    """Measured: at most 1.4e-6 off, at the borders of tiles as elsewhere."""
    difference = scene.decode(tile_size) - scene.decode(0)
    assert difference.abs().max() < 1e-5


@torch.inference_mode()
def test_a_picture_smaller_than_a_tile_is_decoded_in_one_piece(scene: Scene) -> None:
    assert torch.equal(scene.decode(192), scene.decode(0))


@pytest.mark.parametrize("tile_size", [-64, -1, 1, 63])
def test_tiles_that_would_be_mostly_margin_are_refused(scene: Scene, tile_size: int) -> None:
    with pytest.raises(DecodingError, match=f"tile_size is {tile_size}: it must be 64 px or more"):
        scene.decode(tile_size)


@pytest.mark.parametrize("lightness", ["input", "decoder"])
def test_a_latent_that_overflowed_is_not_decoded(scene: Scene, lightness: Lightness) -> None:
    """As a UNet in half precision leaves it on some GPUs; it would be saved as black."""
    latent = scene.latent.clone()
    latent[0, 0, 0, 0] = torch.nan
    with pytest.raises(DecodingError, match=r"latent has NaN.* --force-upcast-attention or"):
        replace(scene, latent=latent).decode(0, lightness, full=False)


@pytest.mark.parametrize("lightness", ["input", "decoder"])
@pytest.mark.parametrize("tile_size", [0, 64])
@torch.inference_mode()
def test_a_picture_that_overflowed_is_an_error_that_names_the_vae(
    scene: Scene, lightness: Lightness, tile_size: int
) -> None:
    network: Any = scene.vae.first_stage_model
    hook = network.decoder.conv_out.register_forward_hook(lambda *call: call[-1] * torch.nan)
    message = "the VAE gave NaN: start ComfyUI with --fp32-vae"
    with hook, pytest.raises(DecodingError, match=message):
        scene.decode(tile_size, lightness, full=False)


def compile_decoder(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """As other nodes do; what a trace is turned into is not of interest, so nothing is."""
    torch.compiler.reset()
    network: Any = scene.vae.first_stage_model
    decoder = torch.compile(network.decoder, backend="eager")
    monkeypatch.setitem(network._modules, "decoder", decoder)


@torch.inference_mode()
def test_a_compiled_decoder_gets_the_luminance_of_each_photo(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it was traced with before: here with none, as 'VAE Decode' has it."""
    mirrored = tuple(feature.flip(-1) for feature in scene.luminance.features)
    other = replace(scene, luminance=scene.luminance._replace(features=mirrored))
    expected = [scene.decode(0), other.decode(0)]
    compile_decoder(scene, monkeypatch)
    scene.vae.decode(scene.latent)
    torch.testing.assert_close([scene.decode(0), other.decode(0)], expected)
    torch.compiler.reset()


@torch.inference_mode()
def test_a_compiled_decoder_is_refused_where_it_cannot_get_luminance(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_decoder(scene, monkeypatch)
    monkeypatch.delattr(torch.compiler, "set_stance")  # as in PyTorch 2.5
    with pytest.raises(DecodingError, match="another node has compiled the VAE"):
        scene.decode(0)


def test_the_options_named_are_the_hosts_own() -> None:
    for option in ("fp32_unet", "fp32_vae", "force_upcast_attention"):
        assert hasattr(args, option)
