"""Nouns start near their like, by WordNet's own files."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lcad_nodes.training.nouns import NORM, Kinds, WordNetError, place_nouns

WORDS = ["dog", "dogs", "fox", "bird", "mug", "teapot", "man", "fool", "idea", "red"]
PARTS = ["dog", "can", "ine</w>", "vess"]
"""The last three of `canine`, `animal` and `vessel`, as `tokenize` has them."""


@pytest.fixture
def vocabulary() -> dict[str, int]:
    tokens = [f"{word}</w>" for word in WORDS] + PARTS
    return {token: row for row, token in enumerate(tokens)}


def tokenize(word: str) -> list[str]:
    several = {"canine": ["can", "ine</w>"], "animal": ["can"], "vessel": ["vess", "red</w>"]}
    return several.get(word) or ([f"{word}</w>"] if word in WORDS else [])


def alike(table: Tensor, one: str, other: str) -> float:
    tokens = WORDS + PARTS
    rows = table[[tokens.index(one), tokens.index(other)]]
    return float(torch.cosine_similarity(rows[0], rows[1], dim=0))


def test_a_noun_lies_nearer_to_those_that_share_more_kinds_with_it(
    wordnet: Path, vocabulary: dict[str, int]
) -> None:
    table = torch.zeros(len(vocabulary), 512)
    place_nouns(table, vocabulary, tokenize, Kinds(wordnet), ())
    assert alike(table, "dog", "fox") > alike(table, "dog", "bird") + 0.1
    assert alike(table, "dog", "bird") > alike(table, "dog", "teapot") + 0.1
    assert alike(table, "dog", "dogs") == pytest.approx(1)
    assert table[WORDS.index("fox")].norm() == pytest.approx(NORM)


def test_a_part_of_nouns_lies_where_they_lie_together(
    wordnet: Path, vocabulary: dict[str, int]
) -> None:
    table = torch.zeros(len(vocabulary), 512)
    place_nouns(table, vocabulary, tokenize, Kinds(wordnet), ())
    of_canines, of_animals_too = table[vocabulary["ine</w>"]], table[vocabulary["can"]]
    assert alike(table, "ine</w>", "fox") > alike(table, "ine</w>", "bird") + 0.1
    assert alike(table, "vess", "mug") > alike(table, "vess", "fox") + 0.1
    assert of_canines.norm() == pytest.approx(NORM)
    assert of_animals_too.norm() < 0.95 * NORM


def test_words_of_no_thing_parts_of_none_and_kept_words_stay_where_they_are(
    wordnet: Path, vocabulary: dict[str, int]
) -> None:
    table = torch.rand(len(vocabulary), 64)
    before = table.clone()
    placed = place_nouns(table, vocabulary, tokenize, Kinds(wordnet), {"bird", "red"})
    moved = (table != before).any(dim=1)
    assert placed == int(moved.sum()) == 10
    stay = [WORDS.index(word) for word in ("idea", "red", "bird")]
    assert not moved[[*stay, vocabulary["dog"]]].any()


def test_where_all_nouns_are_of_the_same_kinds_none_is_placed(wordnet: Path) -> None:
    table = torch.rand(2, 64)
    before = table.clone()
    assert place_nouns(table, {"dog</w>": 0, "dogs</w>": 1}, lambda _: [], Kinds(wordnet), ()) == 0
    assert torch.equal(table, before)


def test_a_mug_is_a_vessel_rather_than_a_fool_and_a_man_is_no_piece_of_a_game(
    wordnet: Path,
) -> None:
    kinds = Kinds(wordnet)
    assert kinds.of("mug") == {"00000008", "00000007", "00000001"}
    assert kinds.of("man") == {"00000013", "00000001"}
    assert kinds.of("fool") == {"00000010", "00000001"}
    assert kinds.of("unheard-of") == set()


@pytest.mark.parametrize("text", [None, "not of WordNet\n"])
def test_a_folder_without_wordnets_nouns_is_named(wordnet: Path, text: str | None) -> None:
    if text is None:
        (wordnet / "index.noun").unlink()
    else:
        (wordnet / "data.noun").write_text(text)
    with pytest.raises(WordNetError, match=r"expected WordNet's index\.noun and data\.noun"):
        Kinds(wordnet)
