"""The help pages that ComfyUI's page shows beside a node."""

import re
from pathlib import Path

import pytest
from comfy_api.latest import io
from comfyui_server import DIRECT, PACK, STEP_SECONDS, Server

from lcad_nodes.nodes import NODES

PAGES = Path(__file__).parent.parent / "lcad_nodes" / "web" / "docs"
SCHEMAS = {schema.node_id: schema for schema in (node.GET_SCHEMA() for node in NODES)}


def page(node_id: str) -> str:
    return (PAGES / f"{node_id}.md").read_text("utf-8")


def listed(text: str, heading: str) -> list[str]:
    """What the list below a heading explains: - `name`: ..."""
    _, _, rest = text.partition(f"\n## {heading}\n")
    return re.findall(r"^- `([^`]+)`: \S", rest.partition("\n## ")[0], re.M)


def shown(output: io.Output) -> str:
    return output.display_name or output.io_type


def test_every_node_has_a_page_and_every_page_a_node() -> None:
    assert {file.stem for file in PAGES.iterdir()} == set(SCHEMAS)


@pytest.mark.parametrize("node_id", SCHEMAS)
def test_a_page_explains_every_input_and_output(node_id: str) -> None:
    schema = SCHEMAS[node_id]
    text = page(node_id)
    assert text.startswith(f"# {schema.display_name}\n")
    assert listed(text, "Inputs") == [entry.id for entry in schema.inputs]
    assert listed(text, "Outputs") == [shown(output) for output in schema.outputs]


@pytest.mark.parametrize("node_id", SCHEMAS)
def test_a_page_says_what_goes_where(node_id: str) -> None:
    schema = SCHEMAS[node_id]
    _, _, rest = page(node_id).partition("\n## Wiring\n")
    links = re.findall(r"^- `([^`]+)` ([←→]) \S", rest.partition("\n## ")[0], re.M)
    sockets = [entry.id for entry in schema.inputs if not isinstance(entry, io.WidgetInput)]
    assert [name for name, arrow in links if arrow == "←"] == sockets
    assert [name for name, arrow in links if arrow == "→"] == list(map(shown, schema.outputs))


@pytest.mark.parametrize("node_id", SCHEMAS)
def test_a_page_calls_other_nodes_by_their_names(node_id: str) -> None:
    names = {schema.display_name for schema in SCHEMAS.values()}
    assert set(re.findall(r"\*([^*]+ \(L-CAD\))\*", page(node_id))) <= names


@pytest.mark.slow
@pytest.mark.parametrize("node_id", SCHEMAS)
def test_the_page_of_a_node_is_where_comfyui_looks(server: Server, node_id: str) -> None:
    address = f"http://{server.address}/extensions/{PACK}/docs/{node_id}.md"
    with DIRECT.open(address, None, STEP_SECONDS) as answer:
        assert answer.headers.get_content_type() != "text/html"  # what the page takes for missing
        assert answer.read().decode() == page(node_id)
