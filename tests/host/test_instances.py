"""Phrases in prompts, with the host's own tokenizer and text encoder."""

from pathlib import Path

import comfy.sd
import folder_paths
import nodes
import pytest
import torch
from PIL import Image
from torch import Tensor

from lcad_nodes.host.instances import (
    INSTANCES_KEY,
    MaskError,
    encode_instances,
    prompt_tokens,
    without_weights,
)
from lcad_nodes.host.loading import load_checkpoint
from lcad_nodes.model.phrases import PhraseError


@pytest.fixture(scope="module")
def clip(small_checkpoint: Path) -> comfy.sd.CLIP:
    clip = load_checkpoint(str(small_checkpoint)).clip
    assert clip is not None
    return clip


def masks(count: int) -> list[Tensor]:
    return [torch.ones(8, 8)] * count


def spans(clip: comfy.sd.CLIP, text: str, phrases: str = "", count: int = 2) -> list[range]:
    _, instances = encode_instances(clip, text, phrases, masks(count))
    found = [item.tokens for item in instances.items]
    assert all(list(tokens) == list(range(tokens[0], tokens[-1] + 1)) for tokens in found)
    return [range(tokens[0], tokens[-1] + 1) for tokens in found]


def test_the_published_example(clip: comfy.sd.CLIP) -> None:
    assert spans(clip, "the blue cup, the red cup") == [range(1, 4), range(5, 8)]


def test_phrases_on_lines_of_their_own(clip: comfy.sd.CLIP) -> None:
    found = spans(clip, "a photo of the blue cup and the red cup", "red cup\nblue cup")
    assert found == [range(9, 11), range(5, 7)]


def test_prompt_weights_do_not_count(clip: comfy.sd.CLIP) -> None:
    plain = spans(clip, "the blue cup, the red cup")
    assert spans(clip, "the (blue:1.3) cup, (the red cup)") == plain
    assert spans(clip, "(the blue cup, the red cup:1.2)") == plain
    assert (
        spans(clip, "the (blue:1.3) cup, the red cup", "the blue cup\n(the red:0.9) cup") == plain
    )


def test_capitals_and_punctuation_do_not_count(clip: comfy.sd.CLIP) -> None:
    found = spans(clip, 'The Blue cup! "The red cup".', "the blue cup.\nTHE RED CUP")
    assert found == [range(1, 4), range(6, 9)]


def test_part_of_a_word_is_not_the_word(clip: comfy.sd.CLIP) -> None:
    with pytest.raises(PhraseError, match=r"'the cup' is not in the text"):
        spans(clip, "the cupboard", "the cup", count=1)


def test_phrases_beyond_the_first_77_tokens(clip: comfy.sd.CLIP) -> None:
    """Every chunk of the encoded prompt has 77 tokens, its own start and end among them."""
    text = "very " * 72 + "old red cup, blue hat"
    _, instances = encode_instances(clip, text, "old red cup\nblue hat", masks(2))
    assert [item.tokens for item in instances.items] == [(73, 74, 75), (79, 80)]
    text = "very " * 73 + "old red cup, blue hat"
    conditioning, instances = encode_instances(clip, text, "old red cup\nblue hat", masks(2))
    assert [item.tokens for item in instances.items] == [(74, 75, 78), (80, 81)]
    assert conditioning[0][0].shape[1] == 154


def test_the_tokens_found_are_the_phrases_own(clip: comfy.sd.CLIP) -> None:
    text = "Ein (grünes:1.2) Auto, 红色的房子, לבן"
    _, instances = encode_instances(clip, text, "", masks(3))
    ids = {token.index: token.id for token in prompt_tokens(clip, text)}
    for item in instances.items:
        own = [token.id for token in prompt_tokens(clip, item.phrase)]
        assert [ids[index] for index in item.tokens] == own


def test_textual_inversions_are_tokens_like_any_other(
    clip: comfy.sd.CLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"string_to_param": {"*": torch.randn(2, 64)}}, tmp_path / "rust.pt")
    tokenizer = clip.tokenizer.clip_l
    monkeypatch.setattr(tokenizer, "embedding_directory", [str(tmp_path)])
    monkeypatch.setattr(tokenizer, "embedding_size", 64)
    found = spans(clip, "a car of embedding:rust , a cup", "car of embedding:rust\na cup")
    assert found == [range(2, 6), range(7, 9)]


def test_the_conditioning_remembers_its_instances(clip: comfy.sd.CLIP) -> None:
    conditioning, instances = encode_instances(clip, "a cup", "", masks(1))
    assert conditioning[0][1][INSTANCES_KEY] is instances


def test_weights_are_taken_out_and_escaped_parentheses_stay() -> None:
    assert without_weights(r"((a) cup:1.2), \(b\)") == "a cup , (b)"


def test_a_word_ends_where_the_host_ends_it_at_a_weight() -> None:
    assert without_weights("two chair(s) of (black:1.2)wood") == "two chair s of black wood"


def test_a_picture_with_nothing_masked_in_it_is_an_empty_mask(
    clip: comfy.sd.CLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host reads a gray picture's alpha one step of 255 below what it is."""
    monkeypatch.setattr(folder_paths, "input_directory", str(tmp_path))
    Image.new("LA", (64, 64), (90, 255)).save(tmp_path / "opaque.png")
    _, mask = nodes.LoadImage().load_image("opaque.png")
    with pytest.raises(MaskError, match=r"mask 1 \('a cup'\) is empty"):
        encode_instances(clip, "a cup", "", list(mask))
