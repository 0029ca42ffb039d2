"""Stage 1: it starts well, it learns, and its latents end up standardized."""

from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from golden_weights import Golden, text_encoder_state_dict
from let_go import require_let_go
from safetensors.torch import load_file
from torch import Tensor
from vgg16_file import write_vgg16

from lcad_nodes.color.artifact import artifact_map
from lcad_nodes.host.loading import load_checkpoint
from lcad_nodes.model.checkpoint import CheckpointParts, StateDict, join, split
from lcad_nodes.model.luminance import network_input
from lcad_nodes.scenes.builder import SceneBuilder
from lcad_nodes.training import compression
from lcad_nodes.training.checkpoints import read_checkpoint, save_checkpoint
from lcad_nodes.training.compression import NOTHING, Compression, standardize_latents, train
from lcad_nodes.training.config import CompressionConfig, DataConfig, DiffusionConfig, FitConfig
from lcad_nodes.training.data.batches import Batch, batches
from lcad_nodes.training.diffusion import Diffusion
from lcad_nodes.training.networks import SCALE_FACTOR, VAEConfig, load_vae


@pytest.fixture
def config(stamps: Path, tmp_path: Path) -> CompressionConfig:
    return CompressionConfig(
        data=DataConfig((str(stamps),), size=32, workers=0),
        fit=FitConfig(str(tmp_path / "run"), steps=4, batch=2, learning_rate=1e-3, log_every=1),
        vae=VAEConfig((96, 96, 96, 96), 1),
        adversarial_weight=0.0,
        plain_weight=1.0,
    )


def _undescribed(images: Tensor, first: int = 0) -> Batch:
    count = len(images)
    return Batch(images, [""] * count, torch.arange(first, first + count), [()] * count)


@torch.no_grad()
def test_an_autoencoder_from_nothing_passes_the_color_of_every_block(
    config: CompressionConfig,
) -> None:
    colors = torch.rand(2, 3, 4, 4)
    image = colors.repeat_interleave(8, 2).repeat_interleave(8, 3)
    _, figures = Compression(config, NOTHING)(_undescribed(image), 0)
    assert figures["psnr"] > 24


@torch.no_grad()
def test_an_autoencoder_of_any_width_starts_from_nothing(config: CompressionConfig) -> None:
    uneven = replace(config, vae=VAEConfig((32, 32, 64, 64), 1))
    loss, _ = Compression(uneven, NOTHING)(_undescribed(torch.rand(1, 3, 32, 32)), 0)
    assert loss.isfinite()


@torch.no_grad()
def test_standardized_latents_have_unit_variance_and_decode_as_before(
    config: CompressionConfig, stamps: Path
) -> None:
    vae = Compression(config, NOTHING).vae
    builder = SceneBuilder([stamps], [], 32, "train")
    images = torch.stack([builder.build(seed).image for seed in range(8)])
    code = vae.encode(2 * images - 1).latent_dist.mean  # pyright: ignore
    before = vae.decode(code).sample  # pyright: ignore
    halves = [_undescribed(half) for half in images.split(4)]
    standardize_latents(vae, iter(halves), 2)
    code = vae.encode(2 * images - 1).latent_dist.mean  # pyright: ignore
    after = vae.decode(code).sample  # pyright: ignore
    std, mean = torch.std_mean(code * SCALE_FACTOR, dim=(0, 2, 3))
    assert torch.allclose(std, torch.ones(4), atol=1e-3)
    assert torch.allclose(mean, torch.zeros(4), atol=1e-3)
    assert torch.allclose(after, before, atol=1e-3)


def _steps(config: CompressionConfig, start: CheckpointParts, count: int) -> StateDict:
    """Train for a few steps, apart from the loop, and return the checkpoint."""
    torch.manual_seed(0)
    stage = Compression(config, start)
    optimizer = torch.optim.AdamW(stage.parameter_groups(), lr=1e-3)
    for step in range(count):
        torch.manual_seed(step)
        batch = _undescribed(torch.rand(2, 3, 32, 32), 2 * step)
        optimizer.zero_grad()
        stage(batch, step)[0].backward()
        optimizer.step()
    return stage.checkpoint()


@pytest.fixture
def pretrained(golden: Golden) -> CheckpointParts:
    """Stable Diffusion's networks, small and without a luminance encoder."""
    parts = split(load_file(golden.checkpoint))
    text = text_encoder_state_dict(0, 64, 1)
    return replace(parts, encoder={}, text=split(text).text)


@torch.no_grad()
def test_a_luminance_encoder_starts_without_effect(
    config: CompressionConfig, pretrained: CheckpointParts
) -> None:
    stage = Compression(replace(config, start="sd", train="published"), pretrained)
    features = stage.encoder(network_input(torch.rand(1, 1, 32, 32) * 100))
    assert all(not feature.any() for feature in features)


def test_only_the_luminance_encoder_trains_beside_a_pretrained_autoencoder(
    config: CompressionConfig, pretrained: CheckpointParts
) -> None:
    published = replace(
        config, start="sd", train="published", adversarial_weight=0.5, adversarial_start=1
    )
    before = join(pretrained)
    after = _steps(published, pretrained, 3)
    assert all(torch.equal(after[name], before[name]) for name in before)
    features = [name for name in after if "g_encoder" in name and "zero_conv" in name]
    assert all(after[name].any() for name in features)
    assert set(after) - set(before) == {n for n in after if "g_encoder" in n}


def test_a_unet_of_half_precision_is_carried_on_as_it_is_and_starts_stage_two_the_same(
    config: CompressionConfig, small_checkpoint: Path, tmp_path: Path
) -> None:
    halves = {name: tensor.half() for name, tensor in load_file(small_checkpoint).items()}
    start, written, single = (tmp_path / f"{n}.safetensors" for n in ("start", "written", "single"))
    save_checkpoint(halves, start, 32)
    stage = Compression(replace(config, start=str(start)), read_checkpoint(start))
    save_checkpoint(stage.checkpoint(), written, 32)
    carried = {n: t for n, t in load_file(written).items() if not n.startswith("first_stage_model")}
    assert {tensor.dtype for tensor in carried.values()} == {torch.float16}
    assert all(torch.equal(tensor, halves[name]) for name, tensor in carried.items())
    save_checkpoint({n: t.float() for n, t in load_file(written).items()}, single, 32)
    words = DiffusionConfig(config.data, config.fit, start="stage 1's", tokenizer="")
    stages = [Diffusion(words, read_checkpoint(path)).checkpoint() for path in (written, single)]
    assert all(torch.equal(stages[0][name], stages[1][name]) for name in stages[1])
    loaded = [load_checkpoint(str(path)) for path in (written, single)]
    text = "clip.cond_stage_model.clip_l.transformer.text_model"
    for network in ("model.model.diffusion_model", text):
        a, b = (attrgetter(network)(one).state_dict() for one in loaded)
        assert all(a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a)


def test_the_autoencoder_that_training_starts_from_is_let_go(
    config: CompressionConfig, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_let_go(compression, ("vae", "encoder"), monkeypatch)
    train(replace(config, start=str(golden.checkpoint)))


def test_a_decoder_trains_alone_and_leaves_the_unet_what_it_reads(
    config: CompressionConfig, golden: Golden
) -> None:
    start = split(load_file(golden.checkpoint))
    alone = replace(config, start="lcad", train="decoder", latent_noise=0.3)
    before, after = join(start), _steps(alone, start, 3)
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert all("g_encoder" in name for name in set(before) - set(after))  # used by none
    assert all(".decoder." in n or "post_quant_conv" in n or "zero_conv" in n for n in changed)
    assert not any("zero_conv_mid2" in name for name in changed)
    assert {name for name in before if ".decoder." in name and "norm" not in name} <= changed


def test_noise_on_the_latents_is_something_to_be_taken_off(config: CompressionConfig) -> None:
    batch = _undescribed(torch.rand(2, 3, 32, 32))
    stage = Compression(config, NOTHING)
    clean = stage(batch, 0)[1]["psnr"]
    stage.config = replace(config, latent_noise=5.0)
    assert stage(batch, 0)[1]["psnr"] < clean - 1


@pytest.fixture
def vgg(tmp_path: Path) -> Path:
    """VGG 16's weights, random."""
    write_vgg16(tmp_path / "vgg16.pth")
    return tmp_path / "vgg16.pth"


@torch.no_grad()
def test_lpips_and_kl_count_as_much_as_they_are_weighted(
    config: CompressionConfig, vgg: Path
) -> None:
    batch = _undescribed(torch.rand(2, 3, 32, 32))
    stage = Compression(replace(config, lpips_backbone=str(vgg), kl_weight=0.0), NOTHING)

    def loss(**weights: float) -> tuple[float, dict[str, float]]:
        stage.config = replace(stage.config, perceptual_weight=0.0, **weights)
        total, figures = stage(batch, 0)
        return total.item(), {name: value.item() for name, value in figures.items()}

    plain, figures = loss()
    assert figures["lpips"] > 0
    assert figures["kl"] > 0
    stage.config = replace(stage.config, perceptual_weight=2.0)
    assert stage(batch, 0)[0].item() == pytest.approx(plain + 2 * figures["lpips"], rel=1e-5)
    assert loss(kl_weight=3.0)[0] == pytest.approx(plain + 3 * figures["kl"], rel=1e-5)


def test_the_discriminator_judges_from_its_start_on(config: CompressionConfig) -> None:
    batch = _undescribed(torch.rand(2, 3, 32, 32))
    small = replace(config, vae=VAEConfig((32, 32, 32, 32), 1), adversarial_weight=0.5)
    stage = Compression(replace(small, adversarial_start=5), NOTHING)
    before, figures = stage(batch, 4)
    assert figures["generator"] == figures["discriminator"] == 0
    columns = list(figures)
    before.backward()
    assert not any(p.grad.any() for p in stage.discriminator.parameters() if p.grad is not None)
    loss, figures = stage(batch, 5)
    assert list(figures) == columns  # of a table
    generator = 0.5 * figures["adaptive_weight"] * figures["generator"]
    assert loss.item() == pytest.approx(
        (before + generator + figures["discriminator"]).item(), rel=1e-4
    )
    loss.backward()
    weights = [p for p in stage.discriminator.parameters() if p.ndim == 4]
    assert all(p.grad is not None and p.grad.any() for p in weights)


@torch.no_grad()
def test_the_reconstruction_is_weighted_by_the_artifact_map(config: CompressionConfig) -> None:
    batch = _undescribed(torch.rand(2, 3, 32, 32))
    small = replace(config, vae=VAEConfig((32, 32, 32, 32), 1), kl_weight=0.0)
    stage = Compression(replace(small, artifact_weight=3.0, plain_weight=0.5), NOTHING)
    image = 2 * batch.images - 1
    decoded = 2 * torch.stack([row.images[-1] for row in stage.samples(batch)]) - 1
    residual = (image - decoded).abs()
    expected = 3 * (artifact_map(image, decoded) * residual).mean() + 0.5 * residual.mean()
    assert stage(batch, 0)[0].item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_artifact_maps_settings_reach_the_loss(config: CompressionConfig) -> None:
    batch = _undescribed(torch.rand(2, 3, 32, 32))
    small = replace(config, vae=VAEConfig((32, 32, 32, 32), 1))
    stage = Compression(small, NOTHING)
    published = stage(batch, 0)[1]["artifact"]
    for change in ({"artifact_window": 3}, {"artifact_power": 0.0}):
        stage.config = replace(small, **change)
        assert stage(batch, 0)[1]["artifact"] != published


@pytest.mark.slow
def test_training_goes_on_exactly_with_its_discriminator(config: CompressionConfig) -> None:
    first = replace(config.fit, save_every=2, sample_every=4, accumulate=2)
    small = replace(
        config,
        fit=first,
        vae=VAEConfig((32, 32, 32, 32), 1),
        adversarial_weight=0.5,
        adversarial_start=1,
    )
    start = Path(config.fit.directory).with_name("start.safetensors")
    torch.manual_seed(0)
    save_checkpoint(Compression(small, NOTHING).checkpoint(), start, 32)
    small = replace(small, start=str(start))
    whole = load_file(train(small))
    again = replace(first, directory=first.directory + "-2")
    train(replace(small, fit=replace(again, steps=2)))
    torch.manual_seed(1)  # whatever the process has drawn meanwhile
    resumed = load_file(train(replace(small, fit=again)))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    states = [
        load_file(Path(f.directory, "compression.state/model.safetensors")) for f in (first, again)
    ]
    judges = [name for name in states[0] if name.startswith("discriminator")]
    assert judges
    assert all(torch.equal(states[0][name], states[1][name]) for name in judges)
    sheets = Path(again.directory, "compression-samples").iterdir()
    assert sorted(sheet.stem for sheet in sheets) == ["0000004"]


@pytest.mark.slow
def test_the_latents_of_an_autoencoder_from_nothing_end_up_standardized(
    config: CompressionConfig,
) -> None:
    small = replace(config, vae=VAEConfig((32, 32, 32, 32), 1))
    path = train(replace(small, fit=replace(small.fit, steps=1)))
    vae = load_vae(split(load_file(path)).vae)
    images = next(batches(config.data, 64, Accelerator(), 0)).images
    code = vae.encode(2 * images - 1).latent_dist.mean  # pyright: ignore
    std = (code * SCALE_FACTOR).std(dim=(0, 2, 3))
    assert torch.allclose(std, torch.ones(4), atol=0.2)
