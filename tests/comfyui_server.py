"""A real ComfyUI server with the pack in its custom nodes, and one client of it."""

import io
import json
import shutil
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor
from websocket import WebSocket, create_connection

from lcad_nodes.client.server import PACK, free_port, run_server

ROOT = Path(__file__).parent.parent
STEP_SECONDS = 120
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks servers of this machine, whatever proxy the environment names."""


class Server:
    """A running ComfyUI, and one client of it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.client = uuid.uuid4().hex

    def request(self, path: str, content: Any = None) -> Any:
        """GET, or POST where there is content; JSON both ways."""
        data = None if content is None else json.dumps(content).encode()
        with DIRECT.open(f"http://{self.address}/{path}", data, STEP_SECONDS) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def listen(self) -> WebSocket:
        return create_connection(
            f"ws://{self.address}/ws?clientId={self.client}", timeout=STEP_SECONDS
        )

    def post(self, workflow: dict[str, Any]) -> str:
        return self.request("prompt", {"prompt": workflow, "client_id": self.client})["prompt_id"]

    def run(self, workflow: dict[str, Any]) -> list[dict[str, Any]]:
        """Run a workflow to its end, and return every event of it."""
        connection = self.listen()
        prompt = self.post(workflow)
        events = list(until_end(connection, prompt))
        connection.close()
        return events

    def file(self, file: dict[str, str]) -> bytes:
        """Fetch a file that a node has announced."""
        query = urllib.parse.urlencode(file)
        with DIRECT.open(f"http://{self.address}/view?{query}", None, STEP_SECONDS) as answer:
            return answer.read()

    def picture(self, event: dict[str, Any]) -> Tensor:
        """Fetch the picture that a SaveImage node has announced: 1x3xHxW in [0, 1]."""
        return self.fetch(event["data"]["output"]["images"][0])

    def fetch(self, file: dict[str, str]) -> Tensor:
        """Fetch a picture that a node has announced: 1x3xHxW in [0, 1]."""
        return as_tensor(Image.open(io.BytesIO(self.file(file))))


def as_tensor(image: Image.Image) -> Tensor:
    return pil_to_tensor(image.convert("RGB"))[None] / 255


def until_end(connection: WebSocket, prompt: str) -> Iterator[dict[str, Any]]:
    """Yield a prompt's events up to the one that ends it."""
    ends = {"execution_success", "execution_error", "execution_interrupted"}
    while True:
        message = connection.recv()
        if not isinstance(message, str):
            continue  # a preview picture
        event = json.loads(message)
        if event["data"].get("prompt_id") == prompt:
            yield event
            if event["type"] in ends:
                return


def saved(events: list[dict[str, Any]]) -> dict[str, Any]:
    assert events[-1]["type"] == "execution_success", events[-1]
    (event,) = [e for e in events if e["type"] == "executed" and e["data"]["node"] == "save"]
    return event


@contextmanager
def start(
    comfyui: Path, base: Path, checkpoint: Path, pictures: list[Path], options: Sequence[str] = ()
) -> Iterator[Server]:
    """Run a server for as long as the context lasts.

    Args:
        comfyui: the host's folder.
        base: an empty folder for everything that is the server's own.
        checkpoint: a file to offer beside the pack's own.
        pictures: files to offer as inputs.
        options: more of the host's own options.
    """
    pack = base / "custom_nodes" / PACK
    for folder in ("lcad_nodes", "locales", "workflows"):
        shutil.copytree(ROOT / folder, pack / folder)
    shutil.copy(ROOT / "__init__.py", pack)
    for folder in ("user", "input", "models/checkpoints"):
        (base / folder).mkdir(parents=True)
    (base / "models/checkpoints" / checkpoint.name).symlink_to(checkpoint)
    for picture in pictures:
        shutil.copy(picture, base / "input")
    with (
        (base / "server.log").open("wb") as log,
        run_server(comfyui, base, port=free_port(), cpu=True, options=options, log=log) as running,
    ):
        yield Server(running.address)
