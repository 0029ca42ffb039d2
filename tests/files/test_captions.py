"""Captions in every format that photos come with."""

import json
from pathlib import Path
from typing import Any

import pytest

from lcad_nodes.files.captions import (
    CaptionsError,
    numbered_captions,
    numbered_phrases,
    read_captions,
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
        ("[" * 10**5, "cannot be read as captions"),
        ('{"cat.jpg": ' + "9" * 5000 + "}", "cannot be read as captions"),
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


def test_each_description_keeps_its_number(tmp_path: Path) -> None:
    path = tmp_path / "captions.json"
    path.write_text('\ufeff{"a.jpg_3": "three", "a.jpg_1": "one"}', encoding="utf-8")
    assert numbered_captions(path) == [("a.jpg", 3, "three"), ("a.jpg", 1, "one")]
    many = "a.jpg_1" + "0" * 5000  # no number that Python reads
    path.write_text(f'{{"{many}": "one"}}', encoding="utf-8")
    assert numbered_captions(path) == [(many, 0, "one")]
    path.write_text(json.dumps(COCO), encoding="utf-8")
    assert [number for _, number, _ in numbered_captions(path)] == [0, 1, 0]


def test_phrases_are_lists_by_file_name_and_number(tmp_path: Path) -> None:
    path = tmp_path / "phrases.json"
    path.write_text('{"a.jpg": ["a cup", "a cat "], "b.jpg_2": ["a dog"]}', encoding="utf-8")
    assert numbered_phrases(path) == [("a.jpg", None, ("a cup", "a cat")), ("b.jpg", 2, ("a dog",))]
    for content in ('{"a.jpg": "a cup"}', '{"a.jpg": [3]}', '{"a.jpg": ["a cup", " "]}'):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(CaptionsError, match=r"a\.jpg: expected a list of texts of one line"):
            numbered_phrases(path)
