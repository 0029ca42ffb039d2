from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcad_nodes.model.phrases import (
    PhraseError,
    Token,
    find_phrases,
    locate,
    nearest,
    spellings,
    split_phrases,
    trim,
)


def find(text: str, *phrases: str) -> list[tuple[int, ...]]:
    """Look for phrases as if every word were one token, after a start token."""
    tokens = [Token(word, index) for index, word in enumerate(text.split(), start=1)]
    return find_phrases(text, tokens, phrases, [phrase.split() for phrase in phrases])


def test_a_phrase_is_found_at_its_tokens() -> None:
    assert find("a blue cup and a red cup", "red cup", "blue cup") == [(6, 7), (2, 3)]


def test_the_second_naming_gets_the_second_occurrence() -> None:
    assert find("a cup , a cup", "a cup", "a cup") == [(1, 2), (4, 5)]


def test_a_phrase_that_is_part_of_another_gets_the_free_occurrence() -> None:
    text = "a man on a horse , a man"
    assert find(text, "a man on a horse", "a man") == [(1, 2, 3, 4, 5), (7, 8)]
    assert find(text, "a man", "a man on a horse") == [(7, 8), (1, 2, 3, 4, 5)]


def test_a_missing_phrase_is_an_error_with_the_text_and_the_nearest_words() -> None:
    with pytest.raises(PhraseError, match=r"'the red cap'.*'the red cup , a hat'.*'the red cup'"):
        find("the red cup , a hat", "the red cap")


def test_a_phrase_named_too_often_is_an_error() -> None:
    with pytest.raises(PhraseError, match=r"'a cup' is named more often than .* 'a cup , a hat'"):
        find("a cup , a hat", "a cup", "a cup")


def test_a_phrase_that_only_one_place_is_left_for_gets_that_place() -> None:
    text = "truck parked behind a truck"
    assert find(text, "a truck", "truck") == [(4, 5), (1,)]
    assert find(text, "truck", "truck parked behind") == [(5,), (1, 2, 3)]
    assert find("the left of the wall", "of the", "the left", "wall") == [(3, 4), (1, 2), (5,)]
    assert find("a cup on a red cup", "a red", "cup on", "a", "cup") == [(4, 5), (2, 3), (1,), (6,)]


def test_a_phrase_without_tokens_is_an_error() -> None:
    with pytest.raises(PhraseError, match="'' holds nothing that the text encoder knows"):
        find("a cup", "")


def test_the_phrase_with_the_fewest_places_left_chooses_next() -> None:
    text = "attached to the wall near a pipe attached to the wall in white"
    found = find(text, "attached to the", "to the wall", "wall in white")
    assert found == [(8, 9, 10), (2, 3, 4), (11, 12, 13)]


def test_a_phrase_is_read_without_the_signs_at_its_ends_and_with_an_apostrophe_before() -> None:
    assert spellings("the car") == ["the car", "'the car"]
    assert spellings("blue cup") == ["blue cup"]
    assert spellings("लाल कपड़े") == ["लाल कपड"]
    assert spellings("20°") == ["20"]
    assert spellings("…") == ["…"]


def test_phrases_are_lines_or_the_parts_of_the_text() -> None:
    text = "the left cup is red, the right cup is blue."
    assert split_phrases("", text) == ["the left cup is red", "the right cup is blue"]
    assert split_phrases("left cup\n\n right cup \n", text) == ["left cup", "right cup"]


def test_no_phrase_at_all_is_an_error() -> None:
    with pytest.raises(PhraseError, match="empty"):
        split_phrases(" \n", " , ")


@pytest.mark.parametrize(
    ("phrase", "trimmed"),
    [
        (' "a red cup." ', "a red cup"),
        ("(a (red) cup)", "a (red) cup"),
        ("लाल कपड़े,", "लाल कपड़े"),
        ("…", "…"),
    ],
)
def test_punctuation_around_a_phrase_is_not_part_of_it(phrase: str, trimmed: str) -> None:
    assert trim(phrase) == trimmed


parts = st.lists(st.sampled_from(["a", "red", "cup"]), min_size=1, max_size=4).map(" ".join)


@given(st.lists(parts, min_size=1, max_size=6), st.randoms())
def test_all_parts_of_a_text_are_found_in_any_order(named: list[str], random: Random) -> None:
    text = " , ".join(named)
    random.shuffle(named)
    words = text.split()
    found = find(text, *named)
    for phrase, indices in zip(named, found, strict=True):
        assert " ".join(words[i - 1] for i in indices) == phrase
        assert list(indices) == list(range(indices[0], indices[-1] + 1))
    assert len({i for indices in found for i in indices}) == sum(map(len, found))


@given(parts, st.text(max_size=20))
@settings(max_examples=30)
def test_the_nearest_words_come_from_the_text(text: str, phrase: str) -> None:
    assert nearest(phrase, text) in text


def test_phrases_are_located_by_their_letters() -> None:
    text = "A man on a horse, a man; 2 Red  cups (the man's)"
    phrases = ["a man", "a man on a horse", "red cups", "2", "the man's"]
    spans = locate(text, phrases)
    assert [text[a:b] for a, b in spans] == [
        "a man",
        "A man on a horse",
        "Red  cups",
        "2",
        "the man's",
    ]
    with pytest.raises(PhraseError, match="the nearest there is"):
        locate(text, ["a red hat"])
