"""Nouns start near their like, by WordNet's own files."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lcad_nodes.training.nouns import NORM, Kinds, WordNetError, place_nouns

WORDS = ["dog", "dogs", "fox", "bird", "mug", "teapot", "man", "fool", "idea", "red"]


@pytest.fixture
def vocabulary() -> dict[str, int]:
    return {f"{word}</w>": row for row, word in enumerate(WORDS)} | {"dog": len(WORDS)}


def alike(table: Tensor, one: str, other: str) -> float:
    rows = table[[WORDS.index(one), WORDS.index(other)]]
    return float(torch.cosine_similarity(rows[0], rows[1], dim=0))


def test_a_noun_lies_nearer_to_those_that_share_more_kinds_with_it(
    wordnet: Path, vocabulary: dict[str, int]
) -> None:
    table = torch.zeros(len(vocabulary), 512)
    place_nouns(table, vocabulary, Kinds(wordnet), ())
    assert alike(table, "dog", "fox") > alike(table, "dog", "bird") + 0.1
    assert alike(table, "dog", "bird") > alike(table, "dog", "teapot") + 0.1
    assert alike(table, "dog", "dogs") == pytest.approx(1)
    assert table[WORDS.index("fox")].norm() == pytest.approx(NORM)


def test_words_of_no_thing_parts_of_words_and_kept_words_stay_where_they_are(
    wordnet: Path, vocabulary: dict[str, int]
) -> None:
    table = torch.rand(len(vocabulary), 64)
    before = table.clone()
    placed = place_nouns(table, vocabulary, Kinds(wordnet), {"bird"})
    moved = (table != before).any(dim=1)
    assert placed == int(moved.sum()) == 7
    stay = [WORDS.index(word) for word in ("idea", "red", "bird")]
    assert not moved[[*stay, vocabulary["dog"]]].any()


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
