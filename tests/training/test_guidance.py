"""Instance guidance while training: the same step on the same logits as samplers take."""

import math
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import COMFYUI
from golden_weights import Golden
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTokenizer

from lcad_nodes.model.checkpoint import split
from lcad_nodes.model.phrases import PhraseError
from lcad_nodes.training import diffusion, guidance
from lcad_nodes.training.config import ConfigError, DataConfig, DiffusionConfig, FitConfig
from lcad_nodes.training.data.batches import Batch
from lcad_nodes.training.diffusion import Diffusion, EncodedBatch, FrozenEncoders, train
from lcad_nodes.training.guidance import (
    GuidedAttention,
    Instances,
    find_instances,
    localization_error,
)
from lcad_nodes.training.networks import TextConfig, UNetConfig, conditioned_input, load_unet

TOKENIZER = COMFYUI / "comfy" / "sd1_tokenizer"


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(TOKENIZER)


@pytest.fixture
def block(golden: Golden) -> Any:
    """A cross-attention of diffusers'."""
    unet = load_unet(split(load_file(golden.checkpoint)).unet)
    return unet.mid_block.attentions[0].transformer_blocks[0].attn2  # pyright: ignore


def halves(side: int) -> tuple[Tensor, Tensor]:
    left = torch.zeros(side, side)
    left[:, : side // 2] = 1
    return left, 1 - left


def test_phrases_and_masks_are_found_for_the_latent(tokenizer: CLIPTokenizer) -> None:
    left, right = halves(64)
    objects = [("a blue hat", right), ("a red cup", left)]
    found = find_instances(tokenizer, "A red cup, a blue hat.", objects, (8, 8))
    assert found.tokens == ((5, 6, 7), (1, 2, 3))
    assert torch.equal(found.masks, torch.stack(halves(8)[::-1]))
    assert find_instances(tokenizer, "a red cup", [], (8, 8)).tokens == ()
    with pytest.raises(PhraseError, match="a green hat"):
        find_instances(tokenizer, "a red cup", [("a green hat", left)], (8, 8))


def test_what_is_not_spoken_of_is_kept_apart_from_what_is(tokenizer: CLIPTokenizer) -> None:
    left, right = halves(64)
    objects = [("", right), ("a red cup", left)]
    found = find_instances(tokenizer, "a red cup", objects, (8, 8))
    assert found.tokens == ((1, 2, 3),)
    assert torch.equal(found.masks, halves(8)[0][None])
    silent = find_instances(tokenizer, "", [("", left), ("", right)], (8, 8))
    assert (silent.tokens, silent.masks.shape) == ((), (0, 8, 8))
    for unsaid, expected in ((found.unsaid, halves(8)[1]), (silent.unsaid, torch.ones(8, 8))):
        assert unsaid is not None
        assert torch.equal(unsaid, expected)


def test_words_beyond_what_is_encoded_are_not_guided(tokenizer: CLIPTokenizer) -> None:
    text = ", ".join(["a plain gray wall"] * 14) + ", a red cup of tea on the table"
    objects = [("a red cup of tea on the table", torch.ones(64, 64))]
    (span,) = find_instances(tokenizer, text, objects, (8, 8)).tokens
    assert span == (71, 72, 73, 74, 75)


def test_a_phrase_that_is_cut_off_names_nothing(tokenizer: CLIPTokenizer) -> None:
    text = "a red cup, " + ", ".join(["a plain gray wall"] * 15) + ", a blue hat"
    left, right = halves(64)
    found = find_instances(tokenizer, text, [("a blue hat", right), ("a red cup", left)], (8, 8))
    assert found.tokens == ((1, 2, 3),)
    assert torch.equal(found.masks, halves(8)[0][None])
    nothing = find_instances(tokenizer, text, [("a blue hat", right)], (8, 8))
    assert (nothing.tokens, nothing.masks.shape) == ((), (0, 8, 8))


@torch.no_grad()
def test_logits_of_a_phrase_move_toward_its_mask_and_no_others(block: Any) -> None:
    hidden = torch.randn(2, 16, block.to_q.in_features)
    context = torch.randn(2, 77, block.to_k.in_features)
    mask = halves(4)[0]
    guided = GuidedAttention(3.0, localized=True)
    plain = guided(block, hidden, context)
    nobody = Instances(torch.zeros(0, 4, 4), ())
    with guided.toward([Instances(mask[None], ((2, 3),)), nobody], [True, True]):
        found = guided(block, hidden, context)

    def heads(x: Tensor) -> Tensor:
        return x.view(77 if x.shape[0] == 77 else 16, block.heads, -1).transpose(0, 1)

    q, k, v = (
        heads(block.to_q(hidden[0])),
        heads(block.to_k(context[0])),
        heads(block.to_v(context[0])),
    )
    logits = q @ k.mT / q.shape[-1] ** 0.5
    for token in (2, 3):
        logits[..., token] -= 3 * (torch.sigmoid(logits[..., token]) - mask.flatten())
    attended = (logits.softmax(-1) @ v).transpose(0, 1).flatten(1)
    torch.testing.assert_close(found[0], block.to_out[0](attended), rtol=1e-4, atol=1e-5)
    assert torch.equal(found[1], plain[1])
    assert torch.equal(guided(block, hidden, context), plain)
    with guided.toward([Instances(mask[None], ((2, 3),)), nobody], [False, False]) as mislaid:
        torch.testing.assert_close(guided(block, hidden, context), plain)
    assert len(mislaid) == 1


def test_the_localization_error_is_the_cross_entropy_of_attention_and_mask() -> None:
    left, right = (half.flatten() for half in halves(4))
    logits = torch.randn(2, 8, 16, 77)
    known = Instances(torch.stack(halves(4)), ((1, 2), (4,)))
    found = localization_error(logits, [known, Instances(torch.zeros(0, 4, 4), ())])
    shares = logits[0].softmax(-1).mean(0)
    on = torch.stack([shares[:, 1] + shares[:, 2], shares[:, 4]])
    expected = torch.nn.functional.binary_cross_entropy(on, torch.stack([left, right]))
    torch.testing.assert_close(found, expected)


def test_the_localization_error_is_least_where_phrases_are_read_at_their_masks() -> None:
    left, right = (half.flatten() for half in halves(4))
    instances = [Instances(torch.stack(halves(8)), ((1,), (4,)))]

    def error(on_left: int, on_right: int) -> float:
        logits = torch.zeros(1, 8, 16, 77)
        logits[..., on_left] += 9 * left
        logits[..., on_right] += 9 * right
        return localization_error(logits, instances).item()

    assert error(1, 4) < 0.1 < error(70, 70) < error(4, 1)


@pytest.mark.parametrize(("size", "grid"), [((25, 25), (13, 13)), ((32, 43), (8, 11))])
def test_sides_that_do_not_halve_evenly_are_those_of_the_attention(
    size: tuple[int, int], grid: tuple[int, int]
) -> None:
    known = Instances(torch.ones(1, *size), ((1,),))
    positions = grid[0] * grid[1]
    logits = torch.zeros(1, 8, positions, 77)
    assert localization_error(logits, [known]).item() == pytest.approx(math.log(77), rel=1e-4)


def test_nothing_known_is_no_localization_error() -> None:
    nobody = Instances(torch.zeros(0, 4, 4), ())
    assert localization_error(torch.randn(2, 8, 16, 77), [nobody, nobody]) == 0


@pytest.fixture
def config(golden: Golden, stamps: Path, tmp_path: Path) -> DiffusionConfig:
    return DiffusionConfig(
        data=DataConfig((str(stamps),), size=64, workers=0),
        fit=FitConfig(
            str(tmp_path / "run"), steps=2, batch=2, learning_rate=1e-3, warmup=1, log_every=1
        ),
        start=str(golden.checkpoint),
        tokenizer=str(TOKENIZER),
        unet=UNetConfig((32, 64), 1, (0, 1)),
        text=TextConfig(64, 1),
        guided=0.5,
    )


@pytest.fixture
def stage(config: DiffusionConfig, golden: Golden) -> Diffusion:
    parts = replace(split(load_file(golden.checkpoint)), unet={}, text={})
    stage = Diffusion(config, parts)
    torch.nn.init.normal_(stage.unet.conv_out.weight)  # or nothing inside it counts
    return stage


def test_a_share_of_the_pictures_is_guided(stage: Diffusion) -> None:
    left, right = halves(8)

    def errors(mask: Tensor) -> list[float]:
        return [
            stage(
                EncodedBatch(
                    torch.ones(1, 4, 8, 8),
                    torch.ones(1, 128, 8, 8),
                    torch.arange(77)[None],
                    torch.tensor([number]),
                    [Instances(mask[None], ((2, 3, 4),))],
                ),
                0,
            )[0].item()
            for number in range(4)
        ]

    differs = [a != b for a, b in zip(errors(left), errors(right), strict=True)]
    assert differs == [False, True, False, True]


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_the_localization_error_is_computed_where_it_is_learned_from_alone(
    config: DiffusionConfig,
    golden: Golden,
    monkeypatch: pytest.MonkeyPatch,
    weight: float,
) -> None:
    computed = []
    monkeypatch.setattr(
        guidance,
        "localization_error",
        lambda *given: computed.append(given) or localization_error(*given),
    )
    parts = split(load_file(golden.checkpoint))
    torch.manual_seed(0)
    plain = Diffusion(config, parts)
    torch.manual_seed(0)
    weighed = Diffusion(replace(config, localization_weight=weight), parts)
    batch = EncodedBatch(
        torch.ones(1, 4, 8, 8),
        torch.ones(1, 128, 8, 8),
        torch.arange(77)[None],
        torch.tensor([1]),
        [Instances(torch.stack(halves(8)), ((2, 3, 4), (6, 7)))],
    )
    loss, figures = weighed(batch, 0)
    assert bool(computed) == ("localization" in figures) == bool(weight)
    mislaid = figures.get("localization", 0 * loss)
    torch.testing.assert_close(loss - plain(batch, 0)[0], weight * mislaid)


def test_masks_lie_where_the_networks_are(
    tokenizer: CLIPTokenizer, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diffusion, "lightness", lambda rgb: rgb[:, :1])  # it looks at the numbers
    elsewhere: Any = SimpleNamespace(device=torch.device("meta"), autocast=nullcontext)
    encode = FrozenEncoders(split(load_file(golden.checkpoint)), tokenizer, elsewhere)
    images = torch.empty(2, 3, 64, 64, device="meta")
    objects = [(("a red cup", halves(64)[0]),), ()]
    encoded = encode(Batch(images, ["a red cup", ""], torch.arange(2), objects))
    assert encoded.latents.device.type == "meta"
    assert {known.masks.device for known in encoded.instances} == {torch.device("meta")}


def test_guidance_is_learned_through(stage: Diffusion) -> None:
    instances = Instances(halves(8)[0][None], ((2, 3, 4),))
    inputs = conditioned_input(torch.ones(1, 4, 8, 8), torch.ones(1, 128, 8, 8))
    context = stage.text(torch.arange(77)[None]).last_hidden_state
    with stage.attention.toward([instances], [True]):
        stage.unet(inputs, 500, context).sample.square().sum().backward()
    queries = [p for n, p in stage.unet.named_parameters() if n.endswith("attn2.to_q.weight")]
    assert queries
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in queries)


def test_attention_learns_where_phrases_belong(config: DiffusionConfig, golden: Golden) -> None:
    parts = split(load_file(golden.checkpoint))
    stage = Diffusion(replace(config, guided=0.0, localization_weight=1.0), parts)
    rate = torch.optim.AdamW(stage.parameters(), 1e-3)
    batch = EncodedBatch(
        torch.ones(1, 4, 8, 8),
        torch.randn(1, 128, 8, 8, generator=torch.Generator().manual_seed(0)),
        torch.arange(77)[None],
        torch.tensor([0]),
        [Instances(torch.stack(halves(8)), ((2, 3), (5,)))],
    )
    errors = []
    for step in range(12):
        loss, figures = stage(batch, step)
        errors.append(figures["localization"].item())
        loss.backward()
        rate.step()
        rate.zero_grad()
    assert errors[-1] < 0.5 * errors[0]


@pytest.mark.slow
def test_made_up_scenes_guide(config: DiffusionConfig) -> None:
    guided = load_file(train(config))
    other = replace(
        config, guided=0.0, fit=replace(config.fit, directory=config.fit.directory + "-2")
    )
    plain = load_file(train(other))
    assert any(not torch.equal(guided[name], plain[name]) for name in plain)


def test_the_share_is_a_share(config: DiffusionConfig) -> None:
    with pytest.raises(ConfigError, match="guided: expected from 0 to 1"):
        replace(config, guided=2.0)
