"""What a command does with its words, up to the server."""

from pathlib import Path
from typing import Any

import pytest

from lcad_nodes.client import __main__ as client
from lcad_nodes.client.server import ROOT
from lcad_nodes.client.workflow import SAMPLE, Settings, colorizing


@pytest.mark.parametrize(
    ("words", "port"), [(["--port", "9000", "--cpu"], 9000), (["--cpu"], 8188)]
)
def test_serve_gets_its_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], port: int
) -> None:
    def served(*given: Any, **options: Any) -> None:
        assert given == (tmp_path.resolve(), ROOT / "my-comfyui", port)
        assert options == {"cpu": True}
        raise KeyboardInterrupt

    monkeypatch.setattr(client, "serve", served)
    monkeypatch.setattr(client.signal, "signal", lambda *_: None)
    assert client.main(["serve", "--comfyui", str(tmp_path), *words]) == 130


def test_the_sheet_of_the_demo_is_named_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    shown: list[str] = []

    def made(comfyui: Path, out: Path, *, cpu: bool) -> Path:
        assert (comfyui, out, cpu) == (ROOT / ".comfyui", ROOT / "demo", False)
        return tmp_path / "sheet.png"

    monkeypatch.setattr(client, "demo", made)
    monkeypatch.setattr(client, "show", shown.append)
    monkeypatch.setattr(client.signal, "signal", lambda *_: None)
    assert client.main(["demo"]) == 0
    assert shown == [(tmp_path / "sheet.png").as_uri()]
    assert f"Before and after: {tmp_path / 'sheet.png'}" in caplog.text


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
