"""Phrases cut out of descriptions as people write them, through the host's own text encoder."""

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from random import Random
from unicodedata import normalize

import comfy.sd
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lcad_nodes.color.names import TERMS
from lcad_nodes.host.instances import encode_instances, find_instances
from lcad_nodes.host.loading import load_checkpoint
from lcad_nodes.model.phrases import PhraseError
from lcad_nodes.scenes.captions import WHERE, Mention, describe

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
    "लाल कपड़े, नीला आकाश",
    "سَيَّارَةٌ, سماءٌ زرقاءُ",
    "a red heart ❤️, a wall at 20°, c++, a 5$ cup",
)

THINGS = ("cup", "dump truck", "scissors", "ice-cream cone", "owl", "UK flag")

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
    """Every phrase has tokens that spell it, none shared; equal ones have theirs in order."""
    flat = [token for chunk in clip.tokenize(text)["l"] for token, _ in chunk]
    places = defaultdict(list)
    for phrase, tokens in zip(phrases, found, strict=True):
        spelled = clip.tokenizer.clip_l.tokenizer.decode([flat[index] for index in tokens])
        assert letters(spelled) == letters(re.sub(r":[\d.]+\)", ")", phrase))
        places[phrase.strip()].append(tokens)
    assert all(equal == sorted(equal) for equal in places.values())
    everything = [index for tokens in found for index in tokens]
    assert len(everything) == len(set(everything))


def letters(text: str) -> str:
    """Letters and digits alone, small."""
    return re.sub(r"[\W_]", "", normalize("NFC", text)).casefold()


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


PLAIN = [text for text in SENTENCES if not set(text) & set("('❤")]


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


def test_of_a_word_that_is_quoted_once_every_place_is_found(clip: comfy.sd.CLIP) -> None:
    """The tokenizer reads an apostrophe and a letter as one, but not two apostrophes."""
    text = "the man's 'tennis' shoe, a tennis ball, ''thunder'' and a thunder storm"
    assert len(locate(clip, text, ["tennis"] * 2)[0]) == 2
    phrases = ["s", "thunder", "tennis", "tennis ball", "thunder", "tennis shoe"]
    check_own_tokens(clip, text, phrases[:5], locate(clip, text, phrases[:5]))


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


def of_clauses(text: str, _random: Random) -> list[str]:
    return re.split(r"[.,;?]| and | with ", text)


def of_words(text: str, _random: Random) -> list[str]:
    return text.split()


def of_runs(text: str, random: Random) -> list[str]:
    return cut(text.split(), random)


def of_capitals(text: str, random: Random) -> list[str]:
    return [run.title() for run in of_runs(text, random)]


def of_quoted_runs(text: str, random: Random) -> list[str]:
    return [f'"{run}".' for run in of_runs(text, random)]


def of_weighted_runs(text: str, random: Random) -> list[str]:
    return [f"({run}:1.2)" for run in of_runs(text, random)]


RULES = [of_clauses, of_words, of_runs, of_capitals, of_quoted_runs, of_weighted_runs]


def made_up(seed: int) -> str:
    rng = np.random.default_rng(seed)
    mentions = [
        Mention(str(rng.choice(THINGS)), str(rng.choice(list(TERMS))), place)
        for place in rng.permuted(list(WHERE))[: rng.integers(1, 5)]
    ]
    return describe(mentions, str(rng.choice(list(TERMS))), rng)[0]


@pytest.fixture(scope="module")
def captions() -> list[str]:
    """Descriptions as lcad-mini is trained on, or as data sets have them.

    LCAD_CAPTIONS may name a folder of JSON files: file to sentence, or to several.
    """
    if "LCAD_CAPTIONS" not in os.environ:
        return list(map(made_up, range(120)))
    files = sorted(Path(os.environ["LCAD_CAPTIONS"]).glob("*.json"))
    values = chain.from_iterable(json.loads(file.read_text()).values() for file in files)
    return [text for value in values for text in ([value] if isinstance(value, str) else value)]


def is_phrase(part: str) -> bool:
    """Whether a part that a rule has cut out has words, and no half of a parenthesis."""
    return bool(letters(part)) and part.count("(") == part.count(")")


def prompts_of(captions: list[str], words: int) -> Iterator[str]:
    """Join captions to prompts of at least so many words."""
    prompt: list[str] = []
    for text in captions:
        prompt.append(text)
        if len(" ".join(prompt).split()) >= words:
            yield ", ".join(prompt)
            prompt = []


@pytest.mark.slow
@pytest.mark.parametrize("words", [1, 80])
@pytest.mark.parametrize("rule", RULES)
def test_phrases_of_captions(
    clip: comfy.sd.CLIP, captions: list[str], rule: Callable[[str, Random], list[str]], words: int
) -> None:
    """Prompts of 80 words go beyond the first 77 tokens."""
    random = Random(0)
    for text in prompts_of(captions, words):
        phrases = list(filter(is_phrase, rule(text, random)))
        if phrases:
            masks = [torch.ones(8, 8)] * len(phrases)
            found = find_instances(clip, text, "\n".join(phrases), masks)
            check_own_tokens(clip, text, phrases, [item.tokens for item in found.items])


@pytest.mark.slow
def test_parts_between_the_commas_of_captions(clip: comfy.sd.CLIP, captions: list[str]) -> None:
    for text in captions:
        parts = [part for part in text.split(",") if part.strip()]
        found = find_instances(clip, text, "", [torch.ones(8, 8)] * len(parts)).items
        check_own_tokens(clip, text, parts, [item.tokens for item in found])
