"""The files in workflows/, as they lie there: what of them needs neither a server nor a browser."""

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
FILES = sorted((ROOT / "workflows").glob("*.json"))
MINI = "lcad-mini.safetensors"


def nodes(file: Path) -> list[dict[str, Any]]:
    return json.loads(file.read_text(encoding="utf-8"))["nodes"]


def widgets(node: dict[str, Any]) -> dict[str, Any]:
    """Give a node's values by their names, leaving out what the page adds after a seed."""
    names = [socket["name"] for socket in node["inputs"] if "widget" in socket]
    added = ("fixed", "randomize")
    values = [value for value in node.get("widgets_values", []) if value not in added]
    return dict(zip(names, values, strict=True))


def test_there_is_one_for_each_use() -> None:
    assert {file.stem for file in FILES} == {
        "words",
        "automatic",
        "objects_with_masks",
        "masks_from_words",
        "recolor_region",
        "controlnet",
        "inspect",
        "large_scan",
        "variations",
        "clip_frames",
        "published_checkpoint",
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_its_note_names_the_files_that_it_loads(file: Path) -> None:
    (note,) = [node for node in nodes(file) if node["type"] == "MarkdownNote"]
    (text,) = note["widgets_values"]
    for node in nodes(file):
        if node["type"] in ("LoadImage", "LoadVideo"):
            name = node["widgets_values"][0]
            assert (ROOT / "photos" / name).exists(), name
            assert name in text or "`tea` pictures" in text, name
        elif "Loader" in node["type"]:
            assert node["widgets_values"][0] in text


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_lcad_mini_has_the_settings_that_suit_it(file: Path) -> None:
    found = {}
    for node in nodes(file):
        if node["type"].startswith("LCAD_") or node["type"] == "KSampler":
            found |= widgets(node)
    if MINI in (found.get("checkpoint"), found.get("ckpt_name")):
        assert (found["resolution"], found["cfg"], found["steps"]) == (-1, 3, 20)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_node_lies_on_another(file: Path) -> None:
    title = 30  # px, above a node's position
    boxes = [
        (x, y - title, x + width, y + height)
        for node in nodes(file)
        for (x, y), (width, height) in [(node["pos"], node["size"])]
    ]
    for number, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[number + 1 :]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
