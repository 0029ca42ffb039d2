"""Which files belong together."""

import json
from pathlib import Path
from typing import Any

import pytest

from lcad_nodes.evaluation.descriptions import Descriptions
from lcad_nodes.evaluation.matching import Files, match
from lcad_nodes.evaluation.naming import CompareError, Name
from lcad_nodes.files.captions import CaptionsError


def folder(path: Path, *names: str) -> Path:
    """A folder of empty files: only their names count here."""
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    return path


def names(files: Files) -> list[str]:
    return [str(request.name) for request in match(files)[0]]


def said(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_pictures_in_subfolders_go_by_their_paths(tmp_path: Path) -> None:
    truth = folder(tmp_path / "photos", "1950/scan.jpg", "1960/scan.jpg", "top.tif", "1970/a.jpg")
    made = folder(tmp_path / "made", "1950/scan.color.jpg", "1960/scan.color.png", "top.color.tif")
    requests, notes = match(Files([made], truth))
    assert {str(request.name): request.results["made"] for request in requests} == {
        "1950/scan": made / "1950/scan.color.jpg",
        "1960/scan": made / "1960/scan.color.png",
        "top": made / "top.color.tif",
    }
    assert notes[0] == "Not scored, since made lacks them: 1970/a."


def test_results_inside_the_folder_of_photographs_are_none_of_them(tmp_path: Path) -> None:
    truth = folder(tmp_path / "photos", "a.jpg", "b/c.jpg", "masks/a.0.png")
    one = folder(truth / "one", "a.png", "b/c.png")
    other = folder(truth / "all" / "other", "a.png", "b/c.png")
    captions = said(tmp_path / "captions.json", {"a.jpg": "a cup"})
    files = Files([one, other], truth, captions, masks=truth / "masks")
    requests, notes = match(files)
    assert [str(request.name) for request in requests] == ["a", "b/c"]
    assert not [note for note in notes if note.startswith("Not scored")]


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    truth = folder(tmp_path / "photos", "a.jpg", ".trash/a.jpg", ".trash/b.jpg", "._a.jpg")
    made = folder(tmp_path / "made", "a.png", ".trash/b.png")
    assert names(Files([made], truth)) == ["a"]
    captions = said(tmp_path / "captions.json", {"a.jpg": "a cup"})
    masks = folder(tmp_path / "masks", "a.0.png", "._a.0.png", ".old/a.1.png")
    (request,), _ = match(Files([made], truth, captions, masks=masks))
    assert request.masks == (masks / "a.0.png",)


def test_numbered_results_are_of_one_photograph_and_its_descriptions(tmp_path: Path) -> None:
    truth = folder(tmp_path / "photos", "139.jpg", "200.jpg", "200_1.jpg")
    made = folder(tmp_path / "made", "139_0.png", "139.jpg_1.png", "200.png", "200_1.png")
    content = {"139.jpg": ["first", "second"], "200.jpg": ["of 200", "again"], "200_1.jpg": "own"}
    captions = said(tmp_path / "captions.json", content)
    masks = folder(tmp_path / "masks", "139.0.png", "139_1.0.png", "139_1.1.png", "200_1.0.png")
    requests, notes = match(Files([made], truth, captions, masks=masks))
    assert [(r.name, r.truth.name, r.text, len(r.masks)) for r in requests] == [
        (Name("139", 0), "139.jpg", "first", 1),
        (Name("139", 1), "139.jpg", "second", 2),
        (Name("200"), "200.jpg", "of 200", 0),
        (Name("200_1"), "200_1.jpg", "own", 1),
    ]
    assert notes == ["Without masks: 200."]
    named_anew = folder(tmp_path / "named", "139.jpg_1.color.png")
    assert names(Files([named_anew], truth)) == ["139_1"]


def test_what_one_method_has_of_a_photograph_and_another_has_not_is_named(tmp_path: Path) -> None:
    truth = folder(tmp_path / "photos", "a.jpg", "b.jpg", "c.jpg")
    one = folder(tmp_path / "one", "a_0.png", "a_1.png", "b.png", "d_0.png")
    other = folder(tmp_path / "other", "a_0.png", "a_2.png", "b_0.png")
    requests, notes = match(Files([one, other], truth))
    assert [str(request.name) for request in requests] == ["a_0"]
    assert notes[:3] == [
        "Not scored, since truth lacks them: d_0.",
        "Not scored, since one lacks them: a_2, b_0, c.",
        "Not scored, since other lacks them: a_1, b, c, d_0.",
    ]


def test_two_results_of_one_description_are_refused(tmp_path: Path) -> None:
    truth = folder(tmp_path / "photos", "a.jpg")
    made = folder(tmp_path / "made", "a_1.png", "a.jpg_1.png")
    with pytest.raises(CompareError, match="more than one picture named a_1"):
        match(Files([made], truth))


@pytest.mark.parametrize(
    ("entries", "texts"),
    [
        (
            {"a.jpg": ["one", "two"], "b.jpg": ["three"]},
            {"a": "one", "a_0": "one", "a_1": "two", "b": "three", "b_1": None},
        ),
        ({"a.jpg_1": "one", "a.jpg_3": "two"}, {"a": "one", "a_1": "one", "a_3": "two"}),
        ({"a.jpg_10": "late", "a.jpg_2": "early"}, {"a": "early", "a_10": "late"}),
        (
            {
                "images": [{"id": 5, "file_name": "a.jpg"}],
                "annotations": [{"image_id": 5, "caption": text} for text in ("one", "two")],
            },
            {"a": "one", "a_0": "one", "a_1": "two"},
        ),
    ],
)
def test_captions_as_the_data_sets_have_them(
    tmp_path: Path, entries: dict[str, Any], texts: dict[str, str | None]
) -> None:
    file = said(tmp_path / "captions.json", entries)
    found = Descriptions(["a", "b"], file, None, None, [])
    for result, text in texts.items():
        photograph, _, number = result.partition("_")
        assert found.of(Name(photograph, int(number) if number else None))[0] == text


def test_captions_go_by_path_and_else_by_a_name_that_no_two_photographs_have(
    tmp_path: Path,
) -> None:
    texts = {"x/a.jpg": "in x", "a.jpg": "in which?", "b.jpg": "b", "vg_1.jpg": "of a set"}
    file = said(tmp_path / "captions.json", texts)
    found = Descriptions(["x/a", "y/a", "1950/b", "vg/VG_100K/1"], file, None, None, [])
    assert found.texts == {
        "x/a": {0: "in x"},
        "1950/b": {0: "b"},
        "vg/VG_100K/1": {0: "of a set"},
    }


def test_masks_go_by_path(tmp_path: Path) -> None:
    truth = folder(tmp_path / "photos", "x/a.jpg", "y/a.jpg")
    made = folder(tmp_path / "made", "x/a.jpg", "y/a.jpg")
    masks = folder(tmp_path / "masks", "x/a.1.png", "x/a.0.png", "z/a.0.png")
    captions = said(tmp_path / "captions.json", {"x/a.jpg": "a cup, a cat", "y/a.jpg": "a cup"})
    (one, other), notes = match(Files([made], truth, captions, masks=masks))
    assert one.masks == (masks / "x/a.0.png", masks / "x/a.1.png")
    assert other.masks == ()
    assert notes == ["Without masks: y/a."]


def test_phrases_stand_in_for_the_parts_of_a_sentence(tmp_path: Path) -> None:
    truth = folder(tmp_path / "photos", "a.jpg", "b.jpg")
    made = folder(tmp_path / "made", "a_0.png", "a_1.png", "b.png")
    masks = folder(tmp_path / "masks", "a.0.png", "b.0.png")
    texts = {"a.jpg": ["A red cup, by itself", "A cup"], "b.jpg": "a cat, a dog"}
    captions = said(tmp_path / "captions.json", texts)
    phrases = said(tmp_path / "phrases.json", {"a.jpg": ["red cup"], "a.jpg_1": ["the cup"]})
    requests, _ = match(Files([made], truth, captions, phrases, masks))
    parts = [tuple(request.phrases) for request in requests]
    assert parts == [("red cup",), ("the cup",), ("a cat", "a dog")]
    requests, notes = match(Files([made], truth, None, phrases, masks))
    assert [tuple(r.phrases) for r in requests] == [("red cup",), ("the cup",), ()]
    assert notes == ["CLIP score is empty: no captions were given."]
    phrases.write_text('{"a.jpg": "red cup"}')
    with pytest.raises(
        CaptionsError, match=r"a\.jpg: expected a list of texts of one line, one for each mask"
    ):
        match(Files([made], truth, captions, phrases, masks))


def test_results_without_numbers_are_of_the_lowest_description_in_all_things(
    tmp_path: Path,
) -> None:
    truth = folder(tmp_path / "photos", "a.jpg")
    made = folder(tmp_path / "made", "a.png")
    masks = folder(tmp_path / "masks", "a_1.0.png", "a_2.0.png", "a_2.1.png")
    captions = said(tmp_path / "captions.json", {"a.jpg_2": "a cup, a cat", "a.jpg_1": "a dog"})
    (request,), _ = match(Files([made], truth, captions, masks=masks))
    assert (request.text, list(request.phrases)) == ("a dog", ["a dog"])
    assert request.masks == (masks / "a_1.0.png",)
    phrases = said(tmp_path / "phrases.json", {"a.jpg_2": ["cup", "cat"], "a.jpg_1": ["dog"]})
    (request,), _ = match(Files([made], truth, captions, phrases, masks))
    assert (request.phrases, request.masks) == (("dog",), (masks / "a_1.0.png",))


def test_options_that_need_another_one(tmp_path: Path) -> None:
    for masks, phrases, complaint in [
        (tmp_path, None, "--masks is given without --captions"),
        (None, tmp_path / "phrases.json", "--phrases is given without --masks"),
    ]:
        with pytest.raises(CompareError, match=complaint):
            Descriptions(["a"], None, phrases, masks, [])
