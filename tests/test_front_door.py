"""The pack in a real ComfyUI server, used as its page uses it."""

import io
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor, to_pil_image
from websocket import WebSocket, create_connection

from lcad_nodes.color.lab import lightness

ROOT = Path(__file__).parent.parent
START_SECONDS = 300
STEP_SECONDS = 120

pytestmark = pytest.mark.slow


class Server:
    """A running ComfyUI, and one client of it."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self.client = uuid.uuid4().hex

    def request(self, path: str, content: Any = None) -> Any:
        """GET, or POST where there is content; JSON both ways."""
        data = None if content is None else json.dumps(content).encode()
        with urllib.request.urlopen(f"http://{self.address}/{path}", data, STEP_SECONDS) as answer:
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

    def picture(self, event: dict[str, Any]) -> Tensor:
        """Fetch the picture that a SaveImage node has announced: 1x3xHxW in [0, 1]."""
        query = urllib.parse.urlencode(event["data"]["output"]["images"][0])
        with urllib.request.urlopen(f"http://{self.address}/view?{query}") as answer:
            return as_tensor(Image.open(io.BytesIO(answer.read())))


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


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """A gray photo of an odd size: a disc on a slope of light."""
    rows, columns = torch.meshgrid(
        torch.linspace(-1, 1, 91), torch.linspace(-1, 1, 135), indexing="ij"
    )
    gray = 0.5 + 0.3 * columns + 0.2 * (rows**2 + columns**2 < 0.3)
    return (gray.clamp(0, 1) * 255).round()[None, None].expand(1, 3, -1, -1) / 255


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, comfyui: Path, small_checkpoint: Path, photo: Tensor
) -> Iterator[Server]:
    base = tmp_path_factory.mktemp("comfyui")
    pack = base / "custom_nodes" / "comfyui-lcad"
    shutil.copytree(ROOT / "lcad_nodes", pack / "lcad_nodes")
    shutil.copy(ROOT / "__init__.py", pack)
    for folder in ("user", "input", "models/checkpoints"):
        (base / folder).mkdir(parents=True)
    (base / "models/checkpoints/small.safetensors").symlink_to(small_checkpoint)
    to_pil_image(photo[0]).save(base / "input" / "photo.png")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    database = f"sqlite:///{base / 'user' / 'comfyui.db'}"
    arguments = ["--cpu", "--base-directory", base, "--database-url", database]
    arguments += ["--listen", "127.0.0.1", "--port", port]
    log = base / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "main.py", *map(str, arguments)],
            cwd=comfyui,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        server = Server(port)
        wait_for(server, process, log)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def wait_for(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            server.request("system_stats")
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
        else:
            return
    pytest.fail(f"the server did not start:\n{log.read_text()[-5000:]}")


def one_node(**changes: Any) -> dict[str, Any]:
    """Photo and words into the one node that does everything."""
    inputs = {
        "checkpoint": "small.safetensors",
        "image": ["photo", 0],
        "text": "a red disc",
        "seed": 1,
        "steps": 3,
        "cfg": 3.0,
        "resolution": 64,
    }
    return {
        "photo": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
        "colorize": {"class_type": "LCAD_Colorize", "inputs": inputs | changes},
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["colorize", 0], "filename_prefix": "result"},
        },
    }


def every_node(**instances: Any) -> dict[str, Any]:
    """The parts, with the host's own sampler on a guided model, and a mask for each phrase."""
    masks = {"value": 1.0, "width": 135, "height": 91}
    described = {"clip": ["load", 1], "text": "a red disc, a blue wall", "phrases": ""}
    both = {"masks.mask_0": ["mask", 0], "masks.mask_1": ["mask", 0]}
    guided = {"strength": 2.0, "start": 0.0, "end": 1.0, "mode": "fast", "reduction": "sum"}
    prompts = {"positive": ["describe", 0], "negative": ["empty", 0], "luminance": ["encode", 0]}
    sampled = {"add_noise": True, "noise_seed": 1, "cfg": 3.0, "latent_image": ["condition", 2]}
    nodes = {
        "photo": ("LoadImage", {"image": "photo.png"}),
        "mask": ("SolidMask", masks),
        "load": ("LCAD_LoadCheckpoint", {"ckpt_name": "small.safetensors"}),
        "empty": ("CLIPTextEncode", {"clip": ["load", 1], "text": ""}),
        "describe": ("LCAD_Instances", described | both | instances),
        "encode": (
            "LCAD_EncodeLuminance",
            {"encoder": ["load", 3], "image": ["photo", 0], "resolution": 64},
        ),
        "condition": ("LCAD_Condition", prompts),
        "guide": (
            "LCAD_GuideAttention",
            {"model": ["load", 0], "instances": ["describe", 1]} | guided,
        ),
        "schedule": ("LCAD_ReferenceSchedule", {"model": ["load", 0], "steps": 3}),
        "sample": (
            "SamplerCustom",
            sampled
            | {
                "model": ["guide", 0],
                "positive": ["condition", 0],
                "negative": ["condition", 1],
                "sampler": ["schedule", 1],
                "sigmas": ["schedule", 0],
            },
        ),
        "decode": (
            "LCAD_Decode",
            {
                "vae": ["load", 2],
                "latent": ["sample", 0],
                "luminance": ["encode", 0],
                "lightness": "input",
            },
        ),
        "save": ("SaveImage", {"images": ["decode", 0], "filename_prefix": "result"}),
    }
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


def saved(events: list[dict[str, Any]]) -> dict[str, Any]:
    assert events[-1]["type"] == "execution_success", events[-1]
    (event,) = [e for e in events if e["type"] == "executed" and e["data"]["node"] == "save"]
    return event


@pytest.mark.parametrize("workflow", [one_node(), every_node()])
def test_a_photo_comes_back_in_color(
    server: Server, photo: Tensor, workflow: dict[str, Any]
) -> None:
    events = server.run(workflow)
    result = server.picture(saved(events))
    assert result.shape == photo.shape
    # The host cuts values off to eight bits, which is up to 0.4 of L, more in the darkest.
    difference = (lightness(result) - lightness(photo)).abs()
    assert difference.mean() < 0.5
    assert difference.max() < 2
    assert (result.amax(dim=1) - result.amin(dim=1)).mean() > 0.05
    steps = [
        e["data"]["value"] for e in events if e["type"] == "progress" and e["data"]["max"] == 3
    ]
    assert steps[-1] == 3


def test_the_words_of_each_mask_are_shown(server: Server) -> None:
    events = server.run(every_node(text="a red disc, a green wall"))
    (shown,) = [e for e in events if e["type"] == "executed" and e["data"]["node"] == "describe"]
    assert server.picture(shown).shape[3] == 135


def test_another_seed_does_not_load_the_model_again(server: Server) -> None:
    server.run(one_node())
    events = server.run(one_node(seed=2))
    cached = [
        node for e in events if e["type"] == "execution_cached" for node in e["data"]["nodes"]
    ]
    executed = [e["data"]["node"] for e in events if e["type"] == "executing" and e["data"]["node"]]
    assert "photo" in cached
    assert len(executed) == 4, executed  # the node, its sampler and its decoder, and the file


def test_cancelling_stops_within_a_step(server: Server) -> None:
    connection = server.listen()
    prompt = server.post(one_node(steps=50, resolution=192))  # of about half a second each
    events = until_end(connection, prompt)
    steps = (event for event in events if event["type"] == "progress")
    next(step for step in steps if step["data"]["value"] == 2)
    server.request("interrupt", {"prompt_id": prompt})
    (*after, last) = events
    connection.close()
    assert last["type"] == "execution_interrupted"
    assert [e["data"]["value"] for e in after if e["type"] == "progress"] in ([], [3])


def test_a_missing_phrase_is_told_at_its_node(server: Server) -> None:
    events = server.run(every_node(phrases="a red disk\na blue wall"))
    error = events[-1]
    assert error["type"] == "execution_error"
    assert error["data"]["node_id"] == "describe"
    assert "'a red disk' is not in the text" in error["data"]["exception_message"]
    assert "the nearest there is 'a red disc," in error["data"]["exception_message"]


def test_an_error_inside_the_one_node_is_told_at_that_node(server: Server) -> None:
    workflow = one_node(image=["alpha", 0])
    workflow["mask"] = {
        "class_type": "SolidMask",
        "inputs": {"value": 1.0, "width": 135, "height": 91},
    }
    workflow["alpha"] = {
        "class_type": "JoinImageWithAlpha",
        "inputs": {"image": ["photo", 0], "alpha": ["mask", 0]},
    }
    error = server.run(workflow)[-1]
    assert error["type"] == "execution_error"
    assert error["data"]["node_id"] == "colorize"
    assert "image is 1 x 91 x 135 x 4 (RGBA)" in error["data"]["exception_message"]


def test_a_wrong_value_is_refused_at_once(server: Server) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        server.post(one_node(steps=0, checkpoint="none.safetensors"))
    answer = json.loads(refusal.value.read())
    named = {e["extra_info"]["input_name"] for e in answer["node_errors"]["colorize"]["errors"]}
    assert named == {"steps", "checkpoint"}
