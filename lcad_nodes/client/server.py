"""A ComfyUI server of one's own, with the pack in it, for as long as it is needed."""

import asyncio
import http.client
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import aiohttp

from .workflow import Workflow

ROOT = Path(__file__).resolve().parents[2]
PACK = "lcad-nodes"
NODE = "LCAD_LoadCheckpoint"
"""What ComfyUI knows when it has loaded the pack."""
TETHER = Path(__file__).with_name("tethered.py")
START_SECONDS = 600
END_SECONDS = 15
ENDS = {"execution_success", "execution_error", "execution_interrupted"}

USES_GPU = """
import torch

for kind in ("cuda", "mps", "xpu"):
    try:  # it may be seen, and too old for this PyTorch
        torch.ones(1, device=kind).add(1).item()
    except (RuntimeError, AssertionError):
        continue
    raise SystemExit(0)
raise SystemExit(1)
"""
"""A program that fails where PyTorch cannot compute on a GPU."""

logger = logging.getLogger(__name__)


class ServerError(RuntimeError):
    """The server did not start, or is gone; the message has the end of its log."""


class WorkflowError(RuntimeError):
    """The server refused a workflow or failed at it; the message is the server's."""


class Server:
    """A running ComfyUI: its address, its folders and what it has said."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, base: Path) -> None:
        self.process = process
        self.address = f"127.0.0.1:{port}"
        self.base = base

    def get(self, path: str) -> Any:
        """Ask for the JSON at a path; None if it does not answer."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(f"http://{self.address}{path}", timeout=30) as answer:
                return json.load(answer)
        except (OSError, http.client.HTTPException, ValueError):
            return None  # it is not there yet, or no more

    def failure(self, what: str) -> ServerError:
        """What to raise when it does not answer: a sentence, and the end of its log if any."""
        log = self.base / "server.log"
        said = log.read_text(encoding="utf-8", errors="replace")[-3000:] if log.exists() else ""
        return ServerError(f"{what} Its last words:\n{said}" if said else what)

    def events(self, workflow: Workflow) -> Iterator[dict[str, Any]]:
        """Run a workflow, and give each of its events until it has ended well.

        Raises:
            WorkflowError: if the server refuses it or fails at it.
            ServerError: if the server is gone.
        """
        loop = asyncio.new_event_loop()
        listening = _listen(self.address, workflow)
        try:
            while True:
                waiting = asyncio.ensure_future(anext(listening), loop=loop)
                try:
                    yield loop.run_until_complete(waiting)
                finally:  # after Ctrl-C it still waits, and what waits cannot be closed
                    waiting.cancel()
                    loop.run_until_complete(asyncio.wait([waiting]))
        except StopAsyncIteration:
            return
        except (aiohttp.ClientError, ConnectionError) as error:
            raise self.failure("ComfyUI has stopped.") from error
        finally:
            loop.run_until_complete(listening.aclose())
            loop.close()


async def _listen(address: str, workflow: Workflow) -> AsyncGenerator[dict[str, Any], None]:
    client = uuid.uuid4().hex
    async with (
        aiohttp.ClientSession(f"http://{address}", timeout=aiohttp.ClientTimeout()) as session,
        session.ws_connect("/ws", params={"clientId": client}, max_msg_size=0) as connection,
    ):
        content = {"prompt": workflow, "client_id": client}
        async with session.post("/prompt", json=content) as answer:
            if answer.status != 200:
                raise WorkflowError(_refusal(await answer.text()))
            prompt = (await answer.json())["prompt_id"]
        async for message in connection:
            if message.type != aiohttp.WSMsgType.TEXT:
                continue  # a preview picture
            event = json.loads(message.data)
            if event["data"].get("prompt_id") != prompt:
                continue
            yield event
            if event["type"] in ENDS:
                _require_success(event)
                return
        raise ConnectionError("the server hung up")


def _require_success(event: dict[str, Any]) -> None:
    if event["type"] == "execution_error":
        data = event["data"]
        raise WorkflowError(data["exception_message"].strip() or data["exception_type"])
    if event["type"] == "execution_interrupted":
        raise WorkflowError("somebody cancelled it")


def _refusal(answer: str) -> str:
    """The readable part of the answer to a workflow that cannot run."""
    try:
        content = json.loads(answer)
        nodes = content["node_errors"].values()
        said = [e["details"] or e["message"] for node in nodes for e in node["errors"]]
        return "; ".join(said) or content["error"]["message"]
    except (ValueError, KeyError, AttributeError, TypeError):
        return answer


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def is_taken(port: int) -> bool:
    """Whether something listens at a port of this machine already."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def without_gpu(*, cpu: bool) -> bool:
    """Whether the server is to run on the CPU; says so where that is not what one would expect.

    Args:
        cpu: whether it is asked to.
    """
    if cpu:
        return True
    if _has_gpu():
        return False
    if shutil.which("nvidia-smi"):
        logger.warning(
            "There is an NVIDIA GPU, but PyTorch cannot use it: it is the PyTorch for CPUs, which "
            "is what Windows gets by default (the README tells which one to install, in 'Quick "
            "start'), the GPU or its driver is too old, or another program fills its memory."
        )
    return True


def _has_gpu() -> bool:
    """Whether PyTorch can use a GPU; asked in a process of its own, since it takes its memory."""
    command = [sys.executable, "-c", USES_GPU]
    # In our own folder: Python looks for modules where it is started.
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0


def lay_out(base: Path) -> None:
    """Make the server's own folder, with the pack linked into its custom nodes.

    Raises:
        ServerError: if something other than a link is in the pack's place.
    """
    for folder in ("custom_nodes", "user", "input", "output", "models/checkpoints"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    link = base / "custom_nodes" / PACK
    if link.exists() and link.samefile(ROOT):
        return
    try:
        link.unlink(missing_ok=True)  # of a project that was moved, or of another copy
    except OSError as error:
        raise ServerError(f"{link} is not a link to this project: move it away.") from error
    if sys.platform == "win32":  # a junction, since links need rights that users lack
        import _winapi

        _winapi.CreateJunction(str(ROOT), str(link))
    else:
        link.symlink_to(ROOT, target_is_directory=True)


def offer_models(base: Path, folders: Mapping[str, Path]) -> list[str | Path]:
    """Options with which a server finds models in more folders, and there first.

    Args:
        base: the server's own folder, where a file about it is written.
        folders: an absolute one for each kind of model, by ComfyUI's name for the kind.
    """
    paths = {"is_default": True, **{kind: str(folder) for kind, folder in folders.items()}}
    file = base / "extra_model_paths.yaml"
    # JSON is YAML, too.
    file.write_text(json.dumps({"comfyui": paths}, ensure_ascii=False), encoding="utf-8")
    return ["--extra-model-paths-config", file]


@contextmanager
def run_server(
    comfyui: Path,
    base: Path,
    *,
    port: int,
    cpu: bool,
    options: Sequence[str | Path] = (),
    log: IO[bytes] | None = None,
) -> Iterator[Server]:
    """Run a server for as long as the context lasts. It dies with this process at the latest.

    Args:
        comfyui: ComfyUI's folder, which is only read.
        base: the server's own folder, as `lay_out` makes it.
        port: where it listens, on this machine alone.
        cpu: without a GPU.
        options: more of ComfyUI's own options.
        log: where it writes what it says; None: to the terminal.

    Raises:
        ServerError: if it does not start, or without the pack.
    """
    database = f"sqlite:///{base / 'user' / 'comfyui.db'}"
    arguments: list[str | Path] = ["--base-directory", base, "--database-url", database]
    arguments += ["--listen", "127.0.0.1", "--port", str(port), "--disable-auto-launch", *options]
    if cpu:
        arguments.append("--cpu")
    process = subprocess.Popen(
        [sys.executable, TETHER, "main.py", *arguments],
        cwd=comfyui,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        # Ctrl-C is for this process, which then ends the server.
        start_new_session=sys.platform != "win32",
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
    try:
        server = Server(process, port, base)
        _wait_for(server)
        if not server.get(f"/object_info/{NODE}"):
            raise server.failure("ComfyUI did not load the nodes of this project.")
        yield server
    finally:
        _end(process)


def _wait_for(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while server.process.poll() is None:
        if server.get("/system_stats"):
            return
        if time.monotonic() > deadline:
            raise server.failure(f"ComfyUI did not answer within {START_SECONDS} s.")
        time.sleep(0.2)
    raise server.failure("ComfyUI has stopped.")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        if process.stdin:
            process.stdin.close()
