"""Stage 2: it learns, goes on exactly where it stopped, and the host loads what it writes."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from accelerate.state import AcceleratorState
from conftest import COMFYUI
from golden_weights import Golden, text_encoder_state_dict
from let_go import require_let_go
from safetensors.torch import load_file, save_file
from torch import Tensor

from lcad_nodes.host.loading import load_checkpoint
from lcad_nodes.model.checkpoint import CheckpointParts, LayoutError, join, split
from lcad_nodes.training import diffusion
from lcad_nodes.training.config import ConfigError, DataConfig, DiffusionConfig, FitConfig
from lcad_nodes.training.diffusion import Diffusion, EncodedBatch, train
from lcad_nodes.training.guidance import Instances
from lcad_nodes.training.networks import (
    TextConfig,
    TokenizerError,
    UNetConfig,
    build_unet,
    load_text_encoder,
)
from lcad_nodes.training.nouns import NORM

NOBODY = Instances(torch.zeros(0, 8, 8), ())


@pytest.fixture
def config(golden: Golden, stamps: Path, tmp_path: Path) -> DiffusionConfig:
    return DiffusionConfig(
        data=DataConfig((str(stamps),), size=32, workers=0),
        fit=FitConfig(
            str(tmp_path / "run"), steps=2, batch=2, learning_rate=1e-3, warmup=1, log_every=1
        ),
        start=str(golden.checkpoint),
        tokenizer=str(COMFYUI / "comfy" / "sd1_tokenizer"),
        pool=2,
        fresh=1,
    )


@pytest.fixture
def from_nothing(config: DiffusionConfig, golden: Golden, tmp_path: Path) -> DiffusionConfig:
    """Stage 1's networks alone to start from, and small widths."""
    first_stage = {k: v for k, v in load_file(golden.checkpoint).items() if "first_stage" in k}
    save_file(first_stage, tmp_path / "first.safetensors")
    return replace(
        config,
        start=str(tmp_path / "first.safetensors"),
        unet=UNetConfig((32, 64), 1, (0, 1)),
        text=TextConfig(64, 1),
    )


@pytest.mark.slow
def test_the_host_loads_what_stage_two_writes(from_nothing: DiffusionConfig) -> None:
    path = train(from_nothing)
    loaded = load_checkpoint(str(path))
    assert loaded.clip is not None
    context: Any = loaded.clip.encode_from_tokens(loaded.clip.tokenize("a red ball"))
    assert context.shape == (1, 77, 64)


@pytest.fixture
def pretrained(golden: Golden) -> CheckpointParts:
    """Stable Diffusion's networks, small, with stage 1's luminance encoder beside them."""
    parts = split(load_file(golden.checkpoint))
    first = "input_blocks.0.0.weight"
    unet = {**parts.unet, first: parts.unet[first][:, :4].clone()}
    return replace(parts, unet=unet, text=split(text_encoder_state_dict(0, 64, 1)).text)


def test_published_training_changes_new_channels_and_output_blocks_alone(
    config: DiffusionConfig, pretrained: CheckpointParts
) -> None:
    stage = Diffusion(replace(config, train="published"), pretrained)
    optimizer = torch.optim.AdamW(stage.parameter_groups(), lr=1e-2)
    for step in range(3):
        optimizer.zero_grad()
        batch = EncodedBatch(
            torch.randn(2, 4, 8, 8),
            torch.randn(2, 128, 8, 8),
            torch.randint(0, 40000, (2, 77)),
            torch.arange(2 * step, 2 * step + 2),
            [NOBODY] * 2,
        )
        stage(batch, step)[0].backward()
        optimizer.step()
    before, after = join(pretrained), stage.checkpoint()
    first = "model.diffusion_model.input_blocks.0.0.weight"
    assert torch.equal(after[first][:, :4], before[first])
    assert after[first][:, 4:].all(dim=1).any()
    changed = {n for n in before if n != first and not torch.equal(after[n], before[n])}
    output_blocks = {n for n in before if n.startswith("model.diffusion_model.output_blocks.")}
    assert changed == output_blocks


def test_unet_and_text_encoder_that_training_starts_from_are_let_go(
    config: DiffusionConfig, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_let_go(diffusion, ("unet", "text"), monkeypatch)
    train(replace(config, start=str(small_checkpoint)))


def test_a_unet_too_narrow_to_pass_the_latent_starts_at_random(
    from_nothing: DiffusionConfig, pretrained: CheckpointParts
) -> None:
    assert from_nothing.unet.widths[0] == 32
    torch.manual_seed(0)
    started = Diffusion(from_nothing, replace(pretrained, unet={})).unet.state_dict()
    torch.manual_seed(0)
    expected = build_unet(from_nothing.unet, 64, 128).state_dict()
    assert all(torch.equal(started[name], expected[name]) for name in expected)


def test_nothing_can_be_frozen_that_is_not_there(
    config: DiffusionConfig, pretrained: CheckpointParts
) -> None:
    with pytest.raises(ConfigError, match="no UNet or no text encoder"):
        Diffusion(replace(config, train="published"), replace(pretrained, text={}))


def test_a_unet_from_nothing_reads_what_the_text_encoder_that_is_there_gives(
    from_nothing: DiffusionConfig, pretrained: CheckpointParts
) -> None:
    other = replace(from_nothing, text=TextConfig(128, 1))
    stage = Diffusion(other, replace(pretrained, unet={}))
    assert stage.unet.config["cross_attention_dim"] == stage.text.config.hidden_size == 64


def test_a_unet_and_a_text_encoder_of_different_widths_are_named(
    from_nothing: DiffusionConfig, pretrained: CheckpointParts
) -> None:
    other = replace(from_nothing, text=TextConfig(128, 1))
    with pytest.raises(LayoutError, match=r"reads texts of width 64.*gives 128: "):
        Diffusion(other, replace(pretrained, text={}))


def test_a_unet_for_another_luminance_encoder_is_refused(
    from_nothing: DiffusionConfig, pretrained: CheckpointParts
) -> None:
    first = "input_blocks.0.0.weight"
    unet = {**pretrained.unet, first: torch.zeros(32, 4 + 96, 3, 3)}
    with pytest.raises(LayoutError, match=r"reads 96 channels.*gives 128"):
        Diffusion(from_nothing, replace(pretrained, unet=unet))


@pytest.mark.slow
def test_training_goes_on_as_if_it_had_not_stopped(from_nothing: DiffusionConfig) -> None:
    fit = replace(from_nothing.fit, steps=4, accumulate=2, sample_every=4)
    whole = train(replace(from_nothing, fit=fit))
    other = replace(fit, directory=fit.directory + "-2")
    train(replace(from_nothing, fit=replace(other, steps=1)))
    torch.manual_seed(1)  # whatever the process has drawn meanwhile
    resumed = train(replace(from_nothing, fit=other))
    a, b, start = load_file(whole), load_file(resumed), load_file(from_nothing.start)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert all(torch.equal(a[name], start[name]) for name in start)
    assert Path(other.directory, "diffusion-samples", "0000004.png").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("free_precision")
def test_mixed_precision_learns_nearly_the_same_and_saves_all_of_it(
    from_nothing: DiffusionConfig,
) -> None:
    mixed = replace(
        from_nothing.fit, directory=from_nothing.fit.directory + "-2", mixed_precision="bf16"
    )
    exact = load_file(train(from_nothing))
    AcceleratorState._reset_state()
    rounded = load_file(train(replace(from_nothing, fit=mixed)))
    learned = [name for name in exact if "diffusion_model" in name]
    assert all(rounded[name].dtype == torch.float32 for name in learned)
    assert all(torch.allclose(exact[n], rounded[n], atol=0.01) for n in learned)
    assert not all(torch.equal(exact[name], rounded[name]) for name in learned)


def _gradient(parameter: torch.nn.Parameter) -> Tensor:
    gradient = parameter.grad
    return torch.zeros(parameter.numel()) if gradient is None else gradient.flatten()


def _encoded(count: int) -> EncodedBatch:
    return EncodedBatch(
        torch.randn(count, 4, 8, 8),
        torch.randn(count, 128, 8, 8),
        torch.zeros(count, 77, dtype=torch.long),
        torch.arange(count),
        [NOBODY] * count,
    )


@torch.no_grad()
def test_the_published_loss_is_unweighted_and_of_plain_noise(from_nothing: DiffusionConfig) -> None:
    parts, batch = split(load_file(from_nothing.start)), _encoded(4)
    loss, figures = Diffusion(from_nothing, parts)(batch, 0)
    assert loss == figures["unweighted"]
    _, with_offset = Diffusion(replace(from_nothing, noise_offset=3.0), parts)(batch, 0)
    assert with_offset["unweighted"] != figures["unweighted"]


@torch.no_grad()
@pytest.mark.parametrize(
    ("uniform", "bias", "t"),
    [
        (0.1005, 1.0, 100),
        (0.2505, 2.0, 500),
        (0.7575, 1.0, 757),
        (1.0, 1.0, 999),
    ],
)
def test_more_weight_goes_to_more_noise_which_the_bias_prefers(
    from_nothing: DiffusionConfig,
    monkeypatch: pytest.MonkeyPatch,
    uniform: float,
    bias: float,
    t: int,
) -> None:
    config = replace(from_nothing, largest_weight=30.0, noise_bias=bias)
    stage = Diffusion(config, split(load_file(from_nothing.start)))
    fixed = torch.tensor([uniform]), torch.randn(1, 4, 8, 8)
    monkeypatch.setattr(diffusion, "draws", lambda *_: fixed)
    loss, figures = stage(_encoded(1), 0)
    signal = float(stage.schedule.alphas_cumprod[t])
    weight = {100: 1.0, 999: 30.0}.get(t, (1 - signal) / signal)
    assert loss.item() == pytest.approx(weight * figures["unweighted"].item(), rel=1e-4)
    assert (weight > 10) == (t > 700)


@torch.no_grad()
def test_more_weight_goes_to_where_described_things_are(from_nothing: DiffusionConfig) -> None:
    parts = split(load_file(from_nothing.start))
    stage = Diffusion(replace(from_nothing, thing_weight=3.0), parts)
    everywhere = torch.ones(2, 8, 8)
    batch = _encoded(4)
    for masks, tokens, factor in (
        (everywhere, ((1,), (2,)), 3.0),
        (0 * everywhere, ((1,), (2,)), 1.0),
        (everywhere[:0], (), 1.0),
    ):
        loss, figures = stage(replace(batch, instances=[Instances(masks, tokens)] * 4), 0)
        assert torch.allclose(loss, factor * figures["unweighted"])
    left = torch.zeros(2, 8, 8)
    left[0, :, :4] = 1
    halves = [
        stage(replace(batch, instances=[Instances(mask, ((1,), (2,)))] * 4), 0)
        for mask in (left, left.flip(-1))
    ]
    assert halves[0][0] != halves[1][0]
    both = halves[0][0] + halves[1][0]  # each counts one half thrice and the other once
    assert torch.allclose(both, (3 + 1) * halves[0][1]["unweighted"])


@torch.no_grad()
def test_more_weight_goes_to_skin_of_which_nothing_is_said(from_nothing: DiffusionConfig) -> None:
    data = replace(from_nothing.data, people=("people",))
    weights = replace(from_nothing, data=data, thing_weight=3.0, skin_weight=8.0)
    stage = Diffusion(weights, split(load_file(from_nothing.start)))
    batch, nothing = _encoded(4), torch.zeros(0, 8, 8)
    for unsaid, factor in ((torch.ones(8, 8), 8.0), (torch.zeros(8, 8), 1.0)):
        of_skin = Instances(nothing, (), unsaid)
        loss, figures = stage(replace(batch, instances=[of_skin] * 4), 0)
        assert torch.allclose(loss, factor * figures["unweighted"])


@pytest.mark.slow
def test_nouns_are_placed_and_embeddings_stay_while_the_rest_of_the_text_encoder_learns(
    from_nothing: DiffusionConfig, wordnet: Path
) -> None:
    path = train(replace(from_nothing, wordnet=str(wordnet)))
    text = load_text_encoder(split(load_file(path)).text)
    table = cast(torch.nn.Embedding, text.get_input_embeddings()).weight
    dog, fox, teapot = table[[1929, 3240, 40749]]  # their tokens in CLIP's vocabulary
    assert [dog.norm().item(), fox.norm().item()] == pytest.approx([NORM, NORM])
    assert torch.cosine_similarity(dog, fox, dim=0) > torch.cosine_similarity(dog, teapot, dim=0)


@pytest.mark.parametrize("there", [None, [], ["vocab.json"], ["merges.txt"]])
def test_a_folder_without_the_tokenizer_is_named_before_the_checkpoint_is_read(
    config: DiffusionConfig, tmp_path: Path, there: list[str] | None
) -> None:
    folder = tmp_path / "other"
    if there is not None:
        folder.mkdir()
        for name in there:
            (folder / name).write_bytes(Path(config.tokenizer, name).read_bytes())
    with pytest.raises(TokenizerError, match=r"tokenizer = .*other: there is no (vocab|merges)"):
        train(replace(config, tokenizer=str(folder), start="none"))


def test_a_checkpoint_without_an_autoencoder_is_refused(
    config: DiffusionConfig, golden: Golden, tmp_path: Path
) -> None:
    unet = {k: v for k, v in load_file(golden.checkpoint).items() if "diffusion_model" in k}
    assert not split(unet).vae
    save_file(unet, tmp_path / "unet.safetensors")
    with pytest.raises(LayoutError, match="stage 1"):
        train(replace(config, start=str(tmp_path / "unet.safetensors")))
