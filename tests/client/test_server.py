"""The server's folder, and what is said of one that does not answer."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfyui_server
import pytest

from lcad_nodes.client import server
from lcad_nodes.client.server import (
    PACK,
    ROOT,
    Server,
    ServerError,
    WorkflowError,
    free_port,
    is_taken,
    lay_out,
    run_server,
    without_gpu,
)


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Server]:
    """Something that answers at the address that is asked."""
    (tmp_path / "system_stats").write_text("{}")
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    process = subprocess.Popen([*command, "--directory", tmp_path], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not is_taken(port) and time.monotonic() < deadline:
            time.sleep(0.05)
        yield Server(process, port, tmp_path)
    finally:
        process.kill()
        process.wait()


def test_the_own_server_is_not_asked_through_a_proxy(
    answering: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert answering.get("/system_stats") is not None


@pytest.mark.parametrize("target", ["nowhere", "another copy", ROOT])
def test_the_pack_is_linked_from_this_project(tmp_path: Path, target: str | Path) -> None:
    (tmp_path / "another copy").mkdir()
    (tmp_path / "custom_nodes").mkdir()
    link = tmp_path / "custom_nodes" / PACK
    link.symlink_to(tmp_path / target, target_is_directory=True)
    lay_out(tmp_path)
    assert link.samefile(ROOT)
    assert (tmp_path / "another copy").is_dir()


def test_a_copy_in_the_place_of_the_link_is_named_and_kept(tmp_path: Path) -> None:
    copy = tmp_path / "custom_nodes" / PACK
    copy.mkdir(parents=True)
    with pytest.raises(ServerError, match="is not a link to this project"):
        lay_out(tmp_path)
    assert copy.is_dir()


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """In ComfyUI's place, a program that says a word and stops."""
    (tmp_path / "main.py").write_text("import sys; sys.exit('no memory')")
    return tmp_path


def test_a_server_that_stops_is_quoted_from_its_log(broken: Path) -> None:
    with (
        pytest.raises(ServerError, match=r"ComfyUI has stopped\. Its last words:\nno memory"),
        (broken / "server.log").open("wb") as log,
        run_server(broken, broken, port=free_port(), cpu=True, log=log),
    ):
        pytest.fail("it never started")


def test_a_server_without_a_log_is_not_quoted(broken: Path) -> None:
    with (
        pytest.raises(ServerError, match=r"ComfyUI has stopped\.$"),
        run_server(broken, broken, port=free_port(), cpu=True),
    ):
        pytest.fail("it never started")


def test_a_server_without_the_pack_is_not_asked_for_anything(tmp_path: Path) -> None:
    """As where ComfyUI is too old for it: the log says so, and nothing else does."""
    (tmp_path / "main.py").write_text(
        "import http.server, sys\n"
        "print('L-CAD needs a newer ComfyUI', flush=True)\n"
        "class Empty(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        "        self.wfile.write(b'{}' if 'object_info' in self.path else b'{\"a\": 1}')\n"
        "port = int(sys.argv[sys.argv.index('--port') + 1])\n"
        "http.server.HTTPServer(('127.0.0.1', port), Empty).serve_forever()\n"
    )
    with (
        pytest.raises(ServerError, match=r"(?s)did not load the nodes.*L-CAD needs a newer"),
        (tmp_path / "server.log").open("wb") as log,
        run_server(tmp_path, tmp_path, port=free_port(), cpu=True, log=log),
    ):
        pytest.fail("it went on")


@pytest.mark.parametrize("seen", [False, True])
def test_a_gpu_that_goes_unused_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any, seen: bool
) -> None:
    monkeypatch.setattr(server, "_has_gpu", lambda: seen)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert without_gpu(cpu=False) is not seen
    assert not caplog.messages
    driver = tmp_path / ("nvidia-smi.exe" if sys.platform == "win32" else "nvidia-smi")
    driver.touch(0o755)
    assert without_gpu(cpu=True)
    assert not caplog.messages
    assert without_gpu(cpu=False) is not seen
    assert len(caplog.messages) == (not seen)


@pytest.mark.parametrize(
    ("kind", "works"), [("cuda", True), ("mps", True), ("xpu", True), ("none", False)]
)
def test_a_gpu_is_one_that_pytorch_computes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, works: bool
) -> None:
    """One may be missing in this PyTorch, another seen and too old."""
    (tmp_path / "torch.py").write_text(
        "class Tensor:\n"
        "    def __init__(self, device): self.device = device\n"
        "    def add(self, _): return self\n"
        "    def item(self):\n"
        f"        if self.device != {kind!r}: raise RuntimeError('no kernel image')\n"
        "def ones(_, device):\n"
        f"    if device == 'cuda' != {kind!r}: raise AssertionError('not compiled with CUDA')\n"
        "    return Tensor(device)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert server._has_gpu() is works


def test_what_a_workflow_failed_at_is_passed_on() -> None:
    for message, said in ((" CUDA out of memory\n", "^CUDA out of memory$"), ("", "^ValueError$")):
        data = {"exception_message": message, "exception_type": "ValueError"}
        with pytest.raises(WorkflowError, match=said):
            server._require_success({"type": "execution_error", "data": data})
    with pytest.raises(WorkflowError, match="cancelled"):
        server._require_success({"type": "execution_interrupted", "data": {}})
    server._require_success({"type": "execution_success", "data": {}})


def test_a_server_that_never_answers_is_not_said_to_have_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "START_SECONDS", 0.3)
    (tmp_path / "main.py").write_text("import time; time.sleep(60)")
    with (
        pytest.raises(ServerError, match=r"ComfyUI did not answer within 0\.3 s\.$"),
        run_server(tmp_path, tmp_path, port=free_port(), cpu=True),
    ):
        pytest.fail("it never answered")


@pytest.mark.slow
def test_a_workflow_of_unknown_nodes_is_refused_in_the_servers_words(
    request: pytest.FixtureRequest,
) -> None:
    running: comfyui_server.Server = request.getfixturevalue("server")
    own = Server.__new__(Server)
    own.address = running.address
    with pytest.raises(WorkflowError, match="NoSuchNode"):
        list(own.events({"1": {"class_type": "NoSuchNode", "inputs": {}}}))
