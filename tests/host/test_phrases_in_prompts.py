"""Phrases cut out of descriptions as people write them, through the host's own text encoder."""

from pathlib import Path
from random import Random

import comfy.sd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lcad_nodes.host.instances import encode_instances, prompt_tokens
from lcad_nodes.host.loading import load_checkpoint
from lcad_nodes.model.phrases import PhraseError

SENTENCES = (
    "two small dogs with brown ears lying on a striped blue sofa",
    "a man in a yellow raincoat, a woman in a red coat and a child's green balloon",
    "In this picture I can see a white table. On it there are a glass (half full), a pair of "
    "black-rimmed spectacles and 3 oranges; in the background there is a light-blue wall.",
    "the purple umbrella that is to the left of the gray bench that is to the left of the tree",
    "'the stop sign' is red, 'do not enter' is white & the sky's blue!",
    "three chair(s) at a table, (a (green:1.3) vase:0.8) \\(to the right\\)",
    "das grüne Fahrrad lehnt an der grauen Wand, daneben steht ein roter Koffer",
    "穿红色衣服的女孩, 蓝色的天空",
    "la voiture bleue à gauche, l'église blanche derrière les arbres verts",
)

prompts = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def clip(small_checkpoint: Path) -> comfy.sd.CLIP:
    clip = load_checkpoint(str(small_checkpoint)).clip
    assert clip is not None
    return clip


def locate(clip: comfy.sd.CLIP, text: str, phrases: list[str]) -> list[tuple[int, ...]]:
    masks = [torch.ones(8, 8)] * len(phrases)
    conditioning, instances = encode_instances(clip, text, "\n".join(phrases), masks)
    found = [item.tokens for item in instances.items]
    assert max(index for tokens in found for index in tokens) < conditioning[0][0].shape[1]
    return found


def check_own_tokens(
    clip: comfy.sd.CLIP, text: str, phrases: list[str], found: list[tuple[int, ...]]
) -> None:
    """Every phrase has the tokens that it has as a prompt of its own, none of them shared."""
    flat = [token for chunk in clip.tokenize(text)["l"] for token, _ in chunk]
    for phrase, tokens in zip(phrases, found, strict=True):
        own = prompt_tokens(clip, phrase, is_plain=True)
        assert [flat[index] for index in tokens] == [token.id for token in own]
    everything = [index for tokens in found for index in tokens]
    assert len(everything) == len(set(everything))


def cut(words: list[str], random: Random) -> list[str]:
    """Cut up to four runs of words, none overlapping, that begin and end with a word."""
    marks = sorted(random.sample(range(len(words) + 1), min(8, (len(words) + 1) // 2 * 2)))
    runs = [" ".join(words[a:b]) for a, b in zip(marks[::2], marks[1::2], strict=True)]
    return random.sample(runs, random.randint(1, len(runs)))


@pytest.mark.parametrize("text", SENTENCES)
def test_the_parts_between_commas_are_found(clip: comfy.sd.CLIP, text: str) -> None:
    parts = text.count(",") + 1
    _, instances = encode_instances(clip, text, "", [torch.ones(8, 8)] * parts)
    found = [item.tokens for item in instances.items]
    assert found == sorted(found)
    check_own_tokens(clip, text, [item.phrase for item in instances.items], found)


PLAIN = [text for text in SENTENCES if "(" not in text and "'" not in text]


@prompts
@given(st.lists(st.sampled_from(PLAIN), min_size=1, max_size=12), st.randoms())
def test_runs_of_words_are_found_however_long_the_prompt(
    clip: comfy.sd.CLIP, sentences: list[str], random: Random
) -> None:
    """Every word is numbered, so that each run is there once, at a place that is known."""
    words = [f"{word} {n}" for n, word in enumerate(" ".join(sentences).split())]
    runs = cut(words, random)
    text = " ".join(words)
    found = locate(clip, text, runs)
    check_own_tokens(clip, text, runs, found)
    assert sorted(runs, key=text.index) == [run for _, run in sorted(zip(found, runs, strict=True))]


@prompts
@given(st.sampled_from(PLAIN), st.floats(0.1, 1.9), st.randoms())
def test_weights_capitals_and_punctuation_change_nothing(
    clip: comfy.sd.CLIP, text: str, weight: float, random: Random
) -> None:
    words = text.split()
    start, end = sorted(random.sample(range(len(words) + 1), 2))
    phrase = " ".join(words[start:end])
    weighted = " ".join([*words[:start], f"({phrase}:{weight:.2f})", *words[end:]])
    (expected,) = locate(clip, text, [phrase])
    assert locate(clip, weighted, [phrase]) == [expected]
    assert locate(clip, text, [f"({phrase.upper()}:{weight:.2f})"]) == [expected]
    assert locate(clip, text.capitalize(), [f'"{phrase}".']) == [expected]


def test_the_same_phrase_again_is_the_next_place_that_it_stands_at(clip: comfy.sd.CLIP) -> None:
    text = "a cup, the tall cup by the wall, a cup and a red cup"
    found = locate(clip, text, ["a cup", "cup", "red cup", "a cup"])
    assert found == [(1, 2), (6,), (15, 16), (11, 12)]


def test_what_the_text_quotes_is_found_with_and_without_quotes(clip: comfy.sd.CLIP) -> None:
    text = "'the stop sign' is red, 'do not enter' is white"
    for phrases in (["the stop sign", "do not enter"], ["'the stop sign'", "'do not enter'"]):
        found = locate(clip, text, phrases)
        assert [len(tokens) for tokens in found] == [4, 4]
        check_own_tokens(clip, text, ["'the stop sign", "'do not enter"], found)
    assert locate(clip, "the red cup", ["'the red cup'"]) == [(1, 2, 3)]


def test_parentheses_are_weights_unless_they_are_escaped(clip: comfy.sd.CLIP) -> None:
    text = r"three chair(s) by a \(left\) door, (a ((green)) vase:0.8)"
    phrases = ["three chair(s)", r"\(left\) door", r"a \(left\) door"]
    assert list(map(len, locate(clip, text, [*phrases[:2], "a green vase"]))) == [3, 3, 3]
    assert list(map(len, locate(clip, text, phrases[2:]))) == [5]
    with pytest.raises(PhraseError, match="'left door' is not in the text"):
        locate(clip, text, ["(left) door"])


def test_an_embedding_has_all_its_vectors(
    clip: comfy.sd.CLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"string_to_param": {"*": torch.randn(3, 64)}}, tmp_path / "rust.pt")
    tokenizer = clip.tokenizer.clip_l
    monkeypatch.setattr(tokenizer, "embedding_directory", [str(tmp_path)])
    monkeypatch.setattr(tokenizer, "embedding_size", 64)
    for text in ("a car, embedding:rust, a cup", "a car, (embedding:rust:1.3), a (cup)"):
        _, instances = encode_instances(clip, text, "", [torch.ones(8, 8)] * 3)
        assert [item.tokens for item in instances.items] == [(1, 2), (4, 5, 6), (8, 9)]
    with pytest.raises(PhraseError, match="'embedding:dust' holds nothing"):
        locate(clip, "a car, embedding:dust, a cup", ["embedding:dust"])


def test_the_nearest_words_are_shown(clip: comfy.sd.CLIP) -> None:
    for phrase, words in (
        ("two dogs with brown ears", "dogs with brown ears"),
        ("a blue sofa", "blue sofa"),
        ("blue sofas", "blue sofa"),
    ):
        with pytest.raises(PhraseError) as error:
            locate(clip, SENTENCES[0], [phrase])
        assert str(error.value).endswith(f"'{SENTENCES[0]}'; the nearest there is '{words}'")
