"""What the page shows while a picture is made, from a real server."""

import io
import json
import struct
from typing import Any

import pytest
import torch
from comfyui_server import Server, as_tensor, saved
from PIL import Image
from sample_workflows import every_node, one_node
from torch import Tensor
from torch.nn.functional import cosine_similarity, interpolate

from lcad_nodes.color.lab import rgb_to_lab

pytestmark = pytest.mark.slow
PREVIEW = 1
"""What a binary message begins with that holds a preview."""
SHOWN = 512
"""The longer side in px that the host enlarges previews to."""


def previews(server: Server, workflow: dict[str, Any]) -> list[Tensor]:
    """Run a workflow with previews on, and return the pictures that come before its end, and it."""
    connection = server.listen()
    request = {"prompt": workflow, "client_id": server.client}
    server.request("prompt", request | {"extra_data": {"preview_method": "auto"}})
    pictures = []
    while True:
        message = connection.recv()
        if isinstance(message, bytes):
            kind, _format = struct.unpack(">II", message[:8])
            if kind == PREVIEW:
                pictures.append(as_tensor(Image.open(io.BytesIO(message[8:]))))
        elif (event := json.loads(message))["type"] == "executed":
            if event["data"]["node"] == "save":
                pictures.append(server.picture(event))
        elif event["type"].startswith("execution_"):
            if event["type"] == "execution_success":
                connection.close()
                return pictures
            assert event["type"] in ("execution_start", "execution_cached"), event


def test_the_photo_appears_in_color_step_by_step(server: Server, photo: Tensor) -> None:
    workflow = one_node(checkpoint="lcad-mini.safetensors", text="a red disc", seed=11)
    (*shown, _) = previews(server, workflow)
    assert len(shown) == 3
    gray = rgb_to_lab(photo)[:, 0].flatten()
    for picture in shown:
        assert picture.shape[-1] == SHOWN
        lab = rgb_to_lab(interpolate(picture, photo.shape[2:], mode="area"))
        both = torch.stack([lab[:, 0].flatten(), gray])
        assert torch.corrcoef(both)[0, 1] > 0.97
        assert lab[:, 1:].norm(dim=1).mean() > 3
    assert not torch.equal(shown[0], shown[-1])


def test_the_hosts_own_sampler_shows_colors_that_fit(server: Server) -> None:
    """Without the photo's lightness, but in the VAE's colors, as the result is."""
    workflow = every_node()
    workflow["load"]["inputs"]["ckpt_name"] = "lcad-mini.safetensors"
    workflow["sample"]["inputs"]["noise_seed"] = 12
    (*_, last, result) = previews(server, workflow)
    assert last.shape == (1, 3, SHOWN * 8 // 12, SHOWN)
    shown, made = (
        rgb_to_lab(interpolate(picture, (8, 12), mode="area"))[:, 1:] for picture in (last, result)
    )
    assert made.norm(dim=1).mean() > 3
    assert cosine_similarity(shown.flatten(), made.flatten(), dim=0) > 0.8


def test_there_is_a_heatmap_for_every_phrase(server: Server) -> None:
    workflow = every_node()
    inputs = workflow["sample"]["inputs"]
    prompts = {"positive": ["describe", 0], "negative": ["empty", 0], "luminance": ["encode", 0]}
    looked_at = {"model": inputs["model"], "instances": ["describe", 1], "seed": 1, "cfg": 3.0}
    sampled = {"steps": 2, "step": 2, "sampler_name": "euler", "scheduler": "normal"}
    maps = {"class_type": "LCAD_AttentionMaps", "inputs": prompts | looked_at | sampled}
    workflow["save"]["inputs"]["images"] = ["maps", 0]
    event = saved(server.run(workflow | {"maps": maps}))
    assert len(event["data"]["output"]["images"]) == 2
    (_, _, height, width) = server.picture(event).shape
    assert width == 135
    assert height > 91  # with the phrase below
