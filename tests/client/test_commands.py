"""What a command does with its words, up to the server."""

from pathlib import Path
from typing import Any

import pytest

from lcad_nodes.client import __main__ as client
from lcad_nodes.client.workflow import SAMPLE, Settings, colorizing


def test_every_option_reaches_the_workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "own.safetensors").touch()
    given: list[Settings] = []

    def colorized(_jobs: Any, _comfyui: Path, settings: Settings, *_: Any, **__: Any) -> int:
        given.append(settings)
        return 0

    monkeypatch.setattr(client, "colorize_many", colorized)
    monkeypatch.setattr(client.signal, "signal", lambda *_: None)
    options = ["--seed=7", "--steps=8", "--cfg=4", "--resolution=512", "--tile-size=128"]
    checkpoint = f"--checkpoint={tmp_path / 'own.safetensors'}"
    assert client.main(["colorize", str(tmp_path), "a red car", *options, checkpoint]) == 0
    nodes = {name: node["inputs"] for name, node in colorizing("p", "t", [], given[0]).items()}
    assert (nodes[SAMPLE]["seed"], nodes[SAMPLE]["steps"], nodes[SAMPLE]["cfg"]) == (7, 8, 4)
    assert nodes["encode"]["resolution"] == 512
    assert nodes["decode"]["tile_size"] == 128
    assert nodes["load"]["ckpt_name"] == "own.safetensors"
