"""Which ComfyUI the pack needs, and what an older one says."""

import asyncio
import logging
import shutil
import sys
from pathlib import Path

import comfyui_version
import nodes
import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent


def oldest() -> str:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (specifier,) = Requirement(f"comfyui{settings['tool']['comfy']['requires-comfyui']}").specifier
    assert specifier.operator == ">="
    return specifier.version


def load(folder: Path) -> bool:
    """Load the front door as the host loads any pack."""
    folder.mkdir()
    shutil.copy(ROOT / "__init__.py", folder)
    (folder / "lcad_nodes").symlink_to(ROOT / "lcad_nodes")
    return asyncio.run(nodes.load_custom_node(str(folder)))


def test_the_oldest_host_that_is_stated_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comfyui_version, "__version__", oldest())
    assert load(tmp_path / "pack")


@pytest.mark.parametrize("version", ["0.3.75", "0.29.9"])
def test_an_older_host_says_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, version: str
) -> None:
    monkeypatch.setattr(comfyui_version, "__version__", version)
    with caplog.at_level(logging.WARNING):
        assert not load(tmp_path / "pack")
    assert f"L-CAD needs ComfyUI {oldest()} or newer, and this is {version}" in caplog.text
