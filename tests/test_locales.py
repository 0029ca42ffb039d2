"""Names and tooltips in other languages, as ComfyUI's page asks for them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import folder_paths
import pytest
from app.custom_node_manager import CustomNodeManager
from comfyui_server import Server

from lcad_nodes.nodes import NODES

ROOT = Path(__file__).parent.parent
LANGUAGES = ["de", "es", "fr", "ja", "ko", "zh"]
SCHEMAS = {schema.node_id: schema for schema in (node.GET_SCHEMA() for node in NODES)}


@pytest.fixture
def translations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the host makes of the pack's files, by language."""
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "locales").symlink_to(ROOT / "locales")
    folders = folder_paths.folder_names_and_paths
    monkeypatch.setitem(folders, "custom_nodes", ([str(tmp_path)], set()))
    return CustomNodeManager().build_translations()


@pytest.fixture(params=LANGUAGES)
def translated(request: pytest.FixtureRequest, translations: dict[str, Any]) -> dict[str, Any]:
    """The nodes in one language."""
    return translations[request.param]["nodeDefs"]


def english() -> dict[str, Any]:
    """The schemas in the form of a translation."""
    return {
        node_id: {
            "display_name": schema.display_name,
            "description": schema.description,
            "inputs": {
                entry.id: {"name": entry.id, "tooltip": entry.tooltip} for entry in schema.inputs
            },
            "outputs": {
                str(number): {
                    "name": output.display_name or output.io_type,
                    "tooltip": output.tooltip,
                }
                for number, output in enumerate(schema.outputs)
            },
        }
        for node_id, schema in SCHEMAS.items()
    }


def texts(entry: dict[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a translation, with where it is."""
    for key, value in entry.items():
        if isinstance(value, dict):
            yield from texts(value, f"{place}.{key}")
        else:
            yield f"{place}.{key}", value


def test_the_languages_are_those_promised(translations: dict[str, Any]) -> None:
    assert sorted(translations) == LANGUAGES


def test_every_text_is_there_and_no_other(translated: dict[str, Any]) -> None:
    assert dict(texts(translated)).keys() == dict(texts(english())).keys()


def test_every_sentence_is_translated(translated: dict[str, Any]) -> None:
    theirs, ours = dict(texts(translated)), dict(texts(english()))
    same = {
        place
        for place, text in theirs.items()
        if not text.strip() or (text == ours[place] and not place.endswith(".name"))
    }
    assert not same


def test_numbers_are_those_of_the_english_text(translated: dict[str, Any]) -> None:
    theirs, ours = dict(texts(translated)), dict(texts(english()))
    assert {place: numbers(text) for place, text in theirs.items()} == {
        place: numbers(text) for place, text in ours.items()
    }


def numbers(text: str) -> list[str]:
    return sorted(number.replace(",", ".") for number in re.findall(r"\d+(?:[.,]\d+)?", text))


def test_nodes_are_called_by_their_translated_names(translated: dict[str, Any]) -> None:
    names = {node["display_name"] for node in translated.values()}
    quoted = {
        name
        for _, text in texts(translated)
        for name in re.findall(r"[“„«「‘]\s?([^“„«「‘]*?\(L-CAD\))", text)
    }
    assert quoted <= names
    assert len(quoted) > 3


def test_nothing_reads_as_syntax_of_messages(translated: dict[str, Any]) -> None:
    syntax = re.compile(r"[{}@|]")  # vue-i18n's, with which the page shows them
    assert not [place for place, text in texts(translated) if syntax.search(text)]


@pytest.mark.slow
def test_a_running_comfyui_offers_the_translations(
    server: Server, translations: dict[str, Any]
) -> None:
    assert server.request("i18n") == translations
