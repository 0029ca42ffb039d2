"""`quickstart.py serve` with the real ComfyUI: what it lays out, and how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from comfyui_server import DIRECT
from conftest import COMFYUI

from lcad_nodes.client.serve import STARTER, serve
from lcad_nodes.client.server import PACK, ROOT, ServerError, free_port, is_taken

SECONDS = 120
SCRIPT = """
import logging, signal, sys
from pathlib import Path
from lcad_nodes.client.serve import serve

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
try:
    serve(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), cpu=True)
except KeyboardInterrupt:
    sys.exit(130)
"""


def get(port: int, path: str) -> Any:
    with DIRECT.open(f"http://127.0.0.1:{port}/{path}", timeout=30) as answer:
        return json.load(answer)


def wait_for(port: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            get(port, "system_stats")
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"it did not start; exit status {process.poll()}")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is another thing there")
def test_it_offers_the_starter_workflow_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BROWSER": "true"}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, COMFYUI, tmp_path, str(port)],
        env=environment,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        wait_for(port, process)
        assert STARTER in get(port, "workflow_templates")[PACK]
        template = get(port, f"api/workflow_templates/{PACK}/{STARTER}.json")
        types = {node["type"] for node in template["nodes"]}
        assert types - {"MarkdownNote"} <= set(get(port, "object_info"))
        loaded = get(port, "object_info/LoadImage")["LoadImage"]["input"]["required"]["image"]
        assert "tea.jpg" in json.dumps(loaded)
        folders = get(port, "internal/folder_paths")
        assert folders["checkpoints"][0] == str(Path(COMFYUI, "models", "checkpoints").resolve())
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert f"?template={STARTER}&source={PACK}" in said
    assert not is_taken(port)


def test_a_port_that_is_taken_is_named(tmp_path: Path, server_port: int) -> None:
    with pytest.raises(ServerError, match=f"Port {server_port} is taken: choose another"):
        serve(COMFYUI, tmp_path, server_port, cpu=True)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def server_port() -> Any:

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]
