"""What the Comfy registry asks of a pack, read as ComfyUI itself reads it.

The rules are those of https://docs.comfy.org/registry/specifications.
"""

import re
from pathlib import Path

import pytest
from comfy_config.config_parser import extract_node_configuration
from comfy_config.types import PyProjectConfig
from PIL import Image

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def config() -> PyProjectConfig:
    found = extract_node_configuration(str(ROOT))
    assert found is not None
    return found


def test_the_name_is_one_that_the_registry_takes(config: PyProjectConfig) -> None:
    name = config.project.name
    assert re.fullmatch(r"[a-z][a-z0-9]*([-_.][a-z0-9]+)*", name)
    assert len(name) < 100
    assert "comfyui" not in name


def test_the_version_is_the_one_that_the_changelog_begins_with(config: PyProjectConfig) -> None:
    version = config.project.version
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    newest = re.search(r"^## \[?([^\]\s]+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert newest
    assert newest[1] == version


def test_what_the_registry_shows_is_there(config: PyProjectConfig) -> None:
    assert config.tool_comfy.publisher_id
    assert config.tool_comfy.display_name
    assert config.project.description
    assert config.project.license.text == "GPL-3.0-or-later"
    assert config.project.supported_os == ["OS Independent"]
    assert config.project.supported_comfyui_version.startswith(">=")


def test_nothing_is_installed_with_it(config: PyProjectConfig) -> None:
    assert config.project.dependencies == []


def test_the_icon_is_a_small_square_of_this_repository(config: PyProjectConfig) -> None:
    address = config.project.urls.repository.replace("github.com", "raw.githubusercontent.com")
    assert config.tool_comfy.icon.startswith(f"{address}/main/")
    icon = Image.open(ROOT / config.tool_comfy.icon.removeprefix(f"{address}/main/"))
    assert icon.format == "PNG"
    assert icon.width == icon.height <= 400


def test_every_page_gives_the_one_address_of_the_repository(config: PyProjectConfig) -> None:
    owner, name = config.project.urls.repository.removeprefix("https://github.com/").split("/")
    pages = [ROOT / "pyproject.toml", *ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    mentioned = {
        address
        for page in pages
        for address in re.findall(rf'[^\s"(]*?{owner}/[\w-]+', page.read_text("utf-8"))
    }
    assert mentioned == {
        f"https://{host}/{owner}/{name}" for host in ("github.com", "raw.githubusercontent.com")
    }
    assert f"git clone --depth 1 https://github.com/{owner}/{name}" in (
        ROOT / "README.md"
    ).read_text("utf-8")
