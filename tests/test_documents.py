"""What the README and the pages beside it promise is there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lcad_nodes.nodes import NODES

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("photos/*.md")]
README = ROOT / "README.md"


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    """Links and pictures of a page that lead nowhere in this repository."""
    text = page.read_text("utf-8")
    for link in re.findall(r'\]\(([^)\s]+)\)|src="([^"]+)"', text):
        target = link[0] or link[1]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('# One\n[a](#one) [b](#two) [c](gone.md) <img src="gone.jpg"> [d](page.md#one)')
    assert list(broken_links(page)) == ["#two", "gone.md", "gone.jpg"]


def messages() -> str:
    """Every text of the code that ComfyUI loads, one a line, with … for what is filled in."""
    rooms = ("color", "host", "model", "nodes")
    files = [ROOT / "__init__.py", *(f for r in rooms for f in ROOT.glob(f"lcad_nodes/{r}/*.py"))]
    parts = (part for file in files for part in ast.walk(ast.parse(file.read_text("utf-8"))))
    return "\n".join(template(part) for part in parts if isinstance(part, ast.expr))


def template(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    if isinstance(part, ast.JoinedStr):
        return "".join(template(piece) for piece in part.values)
    return "…"


def quoted(page: Path) -> list[str]:
    """The error messages that a page explains, as parts between …: *like … this*."""
    _, _, text = page.read_text("utf-8").partition("## Common errors\n")
    lines = [line.partition("*: ")[0] + "*" for line in re.findall(r"^- (\*.+)$", text, re.M)]
    if page == README:
        lines = re.findall(r"^\| (\*.+?) \|", page.read_text("utf-8"), re.M)
    found = (quote for line in lines for quote in re.findall(r"\*([^*]+?)\.?\*", line))
    return [part.strip() for quote in found for part in quote.split("…") if part.strip()]


@pytest.mark.parametrize(
    "page", [README, *ROOT.glob("lcad_nodes/web/docs/*.md")], ids=lambda page: page.stem
)
def test_the_errors_that_a_page_explains_exist(page: Path) -> None:
    raised = messages()
    names = {node.GET_SCHEMA().display_name for node in NODES}
    assert [part for part in quoted(page) if part not in raised and part not in names] == []


def test_the_readme_lists_every_node() -> None:
    listed = re.findall(r"^\| \*([^*]+)\* \| `(\w+)` \| \S", README.read_text("utf-8"), re.M)
    schemas = [node.GET_SCHEMA() for node in NODES]
    assert sorted(listed) == sorted((s.display_name, s.node_id) for s in schemas)


def test_the_readme_shows_every_workflow() -> None:
    listed = re.findall(r"\| \[`(\w+)`\]\(workflows/\1\.json\) \| \S", README.read_text("utf-8"))
    assert sorted(listed) == sorted(file.stem for file in ROOT.glob("workflows/*.json"))


def unnamed(configs: Path) -> set[str]:
    """The configurations in a folder that no page says anything of."""
    pages = (ROOT / "docs" / f"{page}.md" for page in ("training", "lcad-mini", "ablations"))
    named = {
        name for page in pages for name in re.findall(r"[\w-]+\.toml", page.read_text("utf-8"))
    }
    return {file.name for file in configs.glob("*.toml")} - named


def test_every_configuration_is_named_on_a_page(tmp_path: Path) -> None:
    assert unnamed(ROOT / "lcad_nodes" / "training" / "configs") == set()
    (tmp_path / "shadows-256.toml").touch()  # a part of the name of one that is named
    assert unnamed(tmp_path) == {"shadows-256.toml"}
