"""The oldest ComfyUI that the pack runs on, and what an older one says."""

import asyncio
import logging
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfyui_version
import nodes
import pytest
from comfyui_server import Server, saved, start
from packaging.requirements import Requirement
from packaging.version import Version
from sample_workflows import every_node, one_node
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

import quickstart
from lcad_nodes.color.lab import lightness
from lcad_nodes.nodes import NODES

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


@pytest.fixture(scope="module")
def oldest_server(
    tmp_path_factory: pytest.TempPathFactory, small_checkpoint: Path, photo: Tensor
) -> Iterator[Server]:
    """The oldest ComfyUI with the pack, in a process of its own; quickstart.py has fetched it."""
    base = tmp_path_factory.mktemp("oldest")
    to_pil_image(photo[0]).save(base / "photo.png")
    host = ROOT / ".comfyui-oldest"
    with start(host, base, small_checkpoint, [base / "photo.png"]) as server:
        yield server


@pytest.mark.slow
def test_every_node_is_on_the_oldest_host(oldest_server: Server) -> None:
    assert oldest_server.request("system_stats")["system"]["comfyui_version"] == oldest()
    known = oldest_server.request("object_info")
    assert {node.GET_SCHEMA().node_id for node in NODES} <= known.keys()
    masks = known["LCAD_Instances"]["input"]
    assert "masks.mask_0" in masks["required"]
    assert [name for name in masks["optional"] if name.startswith("masks.")] == [
        f"masks.mask_{number}" for number in range(1, 10)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("workflow", [one_node(), every_node()], ids=["one_node", "every_node"])
def test_the_same_workflows_run_on_the_oldest_host(
    oldest_server: Server, server: Server, photo: Tensor, workflow: dict[str, Any]
) -> None:
    found, expected = (host.picture(saved(host.run(workflow))) for host in (oldest_server, server))
    assert found.shape == photo.shape
    assert (lightness(found) - lightness(expected)).abs().max() < 2
    assert (found - expected).abs().mean() < 0.5 / 255


@pytest.mark.slow
def test_the_oldest_host_takes_masks_in_the_order_of_their_numbers(oldest_server: Server) -> None:
    masks = {"masks.mask_1": ["small", 0], "masks.mask_0": ["mask", 0]}
    workflow = every_node()
    inputs = workflow["describe"]["inputs"]
    for name in masks:
        del inputs[name]
    inputs |= masks
    workflow["small"] = {"class_type": "SolidMask", "inputs": {"value": 1, "width": 8, "height": 9}}
    error = oldest_server.run(workflow)[-1]
    assert error["data"]["node_id"] == "describe"
    assert "mask 2 ('a blue wall') is 9 x 8 px" in error["data"]["exception_message"]


def test_the_host_that_is_tested_is_the_oldest_that_is_stated() -> None:
    assert quickstart.OLDEST_COMFYUI.version == oldest()
    assert Version(oldest()) < Version(comfyui_version.__version__)


def test_the_oldest_host_that_is_stated_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comfyui_version, "__version__", oldest())
    assert load(tmp_path / "pack")


@pytest.mark.parametrize("version", ["0.3.74", "0.2.9"])
def test_an_older_host_says_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, version: str
) -> None:
    monkeypatch.setattr(comfyui_version, "__version__", version)
    monkeypatch.setitem(sys.modules, "comfy_api.latest", None)  # as it lacks it
    with caplog.at_level(logging.WARNING):
        assert not load(tmp_path / "pack")
    assert f"L-CAD needs ComfyUI {oldest()} or newer, and this is {version}" in caplog.text
