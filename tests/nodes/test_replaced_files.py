"""Files that change under their own names, and what the host keeps of them."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import folder_paths
import nodes
import pytest
from comfy_api.latest import io
from comfy_execution.caching import CacheKeySetInputSignature
from comfy_execution.graph import DynamicPrompt
from execution import IsChangedCache

from lcad_nodes.host.patch import FOLDER
from lcad_nodes.nodes.colorize import Colorize
from lcad_nodes.nodes.load import LoadCheckpoint, LoadUNet
from lcad_nodes.nodes.patch import ApplyPatch, ExtractPatch

LINK = ["2", 0]
TAKING_FILES = [
    (LoadCheckpoint, {}, "ckpt_name"),
    (LoadUNet, {}, "unet_name"),
    (ExtractPatch, {"base": "other.safetensors"}, "original"),
    (ExtractPatch, {"original": "other.safetensors"}, "base"),
    (ApplyPatch, {"model": LINK, "strength": 1.0}, "patch_name"),
    (Colorize, {"image": LINK, "text": "a red car"}, "checkpoint"),
]


def key(node: type[io.ComfyNode], inputs: dict[str, Any]) -> Any:
    """What the host keeps a node's outputs under."""
    name = node.define_schema().node_id
    other = {"class_type": "EmptyImage", "inputs": {}}
    prompt = DynamicPrompt({"1": {"class_type": name, "inputs": inputs}, "2": other})
    outputs: Any = None  # which the host does not look into for this
    keys = CacheKeySetInputSignature(prompt, ["1"], IsChangedCache("", prompt, outputs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(nodes.NODE_CLASS_MAPPINGS, name, node)
        asyncio.run(keys.add_keys(["1"]))
    return keys.get_data_key("1")


@pytest.mark.parametrize(("node", "inputs", "name"), TAKING_FILES)
def test_a_file_replaced_under_its_own_name_is_another(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    node: type[io.ComfyNode],
    inputs: dict[str, Any],
    name: str,
) -> None:
    for folder in ("checkpoints", "diffusion_models", FOLDER):
        folder_paths.add_model_folder_path(folder, str(tmp_path))
    file = tmp_path / f"{tmp_path.name}.safetensors"
    inputs = {**inputs, name: file.name}
    with caplog.at_level(logging.WARNING):
        missing = key(node, inputs)
        file.write_bytes(b"one")
        first = key(node, inputs)
        assert key(node, inputs) == first != missing
        file.write_bytes(b"another")
        assert key(node, inputs) != first
        key(node, {**inputs, name: LINK})
    assert not caplog.messages  # of a failure, which the host takes for a change at every run
