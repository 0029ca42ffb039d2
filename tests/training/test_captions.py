"""Descriptions: every format that photos come with, and every level of detail."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lcad_nodes.training.data.captions import (
    CaptionsError,
    Detail,
    read_captions,
    shorten,
    tells_sides,
)

COCO = {
    "images": [{"id": 7, "file_name": "cat.jpg"}, {"id": 8, "file_name": "dog.jpg"}],
    "annotations": [
        {"image_id": 7, "caption": "a black cat "},
        {"image_id": 7, "caption": "a cat"},
        {"image_id": 8, "caption": "a dog"},
    ],
}
LISTS = {"cat.jpg": ["a black cat", "a cat"], "dog.jpg": ["a dog"]}
NUMBERED = {"cat.jpg_0": "a black cat", "cat.jpg_1": "a cat", "dog.jpg_0": "a dog"}


@pytest.mark.parametrize("content", [COCO, LISTS, NUMBERED])
def test_every_format_says_the_same(tmp_path: Path, content: dict[str, Any]) -> None:
    path = tmp_path / "captions.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert read_captions(path) == {"cat.jpg": ("a black cat", "a cat"), "dog.jpg": ("a dog",)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as captions"),
        ("[]", "expected an object, not list"),
        ('{"cat.jpg": 3}', "cat.jpg: expected a text or a list"),
        ('{"annotations": [{"image_id": 1}], "images": []}', "not COCO captions.*KeyError: 1"),
    ],
)
def test_captions_in_no_known_format_are_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "captions.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CaptionsError, match=message):
        read_captions(path)


@pytest.mark.parametrize(
    ("text", "place", "shorter"),
    [
        ("a red cup, a blue plate and a spoon", 0.0, "a blue plate, a spoon"),
        ("a red cup, a blue plate and a spoon", 0.99, "a red cup, a blue plate"),
        ("There is a dog. The dog is brown.", 0.5, "There is a dog"),
        ("a White dog on a red table", 0.0, "a dog on a red table"),
        ("a White dog on a red table", 0.5, "a White dog on a table"),
        ("a dog", 0.5, "a dog"),
    ],
)
def test_a_shortened_description_lacks_a_part_or_a_color(
    text: str, place: float, shorter: str
) -> None:
    assert shorten(text, place) == shorter


def test_the_shares_of_dropped_and_shortened_descriptions_are_those_asked_for() -> None:
    rng = np.random.default_rng(0)
    told = [Detail(0.3, 0.2)(("a cup, a plate",), rng) for _ in range(4000)]
    shares = [told.count(text) / len(told) for text in ("", "a cup, a plate")]
    assert shares == pytest.approx([0.3, 0.5], abs=0.03)
    assert set(told) == {"", "a cup", "a plate", "a cup, a plate"}


def test_all_descriptions_of_a_photo_are_used() -> None:
    rng = np.random.default_rng(0)
    assert {Detail(0, 0)(("a", "b", "c"), rng) for _ in range(50)} == {"a", "b", "c"}


def test_sides_are_found_as_words() -> None:
    assert tells_sides("the cup on the Left")
    assert tells_sides("the leftmost cup")
    assert not tells_sides("a bright red copyright sign")
