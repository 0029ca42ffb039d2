"""Descriptions at every level of detail."""

import numpy as np
import pytest

from lcad_nodes.training.data.captions import pick, shorten, tells_sides


@pytest.mark.parametrize(
    ("text", "place", "shorter"),
    [
        ("a red cup, a blue plate and a spoon", 0.0, "a blue plate, a spoon"),
        ("a red cup, a blue plate and a spoon", 0.99, "a red cup, a blue plate"),
        ("There is a dog. The dog is brown.", 0.5, "There is a dog"),
        ("a White dog on a red table", 0.0, "a dog on a red table"),
        ("a White dog on a red table", 0.5, "a White dog on a table"),
        ("the grey dog", 0.5, "the dog"),
        ("The car is red.", 0.5, "The car is"),
        ("a dog", 0.5, "a dog"),
        ("A Black and white dog on a red table", 0.0, "A dog on a red table"),
        ("a red and white and blue flag", 0.99, "a flag"),
        ("a green and silver hydrant", 0.5, "a silver hydrant"),
        ("a black-and-white dog", 0.5, "a black-and-white dog"),
        ("an orange cat", 0.5, "a cat"),
        ("A white umbrella", 0.5, "An umbrella"),
        ("a white urinal", 0.5, "a urinal"),
    ],
)
def test_a_shortened_description_lacks_a_part_or_a_color(
    text: str, place: float, shorter: str
) -> None:
    assert shorten(text, place) == shorter


def test_the_shares_of_dropped_and_shortened_descriptions_are_those_asked_for() -> None:
    rng = np.random.default_rng(0)
    told = [pick(("a cup, a plate",), 0.3, 0.2, rng) for _ in range(4000)]
    shares = [told.count(text) / len(told) for text in ("", "a cup, a plate")]
    assert shares == pytest.approx([0.3, 0.5], abs=0.03)
    assert set(told) == {"", "a cup", "a plate", "a cup, a plate"}


def test_all_descriptions_of_a_photo_are_used() -> None:
    rng = np.random.default_rng(0)
    assert {pick(("a", "b", "c"), 0, 0, rng) for _ in range(50)} == {"a", "b", "c"}


def test_sides_are_found_as_words() -> None:
    assert tells_sides("the cup on the Left")
    assert tells_sides("the leftmost cup")
    assert not tells_sides("a bright red copyright sign")
