"""The pack in a real ComfyUI server, used as its page uses it."""

import json
import urllib.error
from typing import Any

import pytest
from comfyui_server import Server, saved, until_end
from sample_workflows import every_node, one_node
from torch import Tensor

from lcad_nodes.color.lab import lightness

pytestmark = pytest.mark.slow


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
    picture = server.picture(shown)
    height = 512 * 91 // 135
    assert picture.shape[3] == 512
    words = picture[:, :, height + 1 :]
    for color in (0, 2):  # the first phrase's is red, the second's blue
        assert (words[:, color] - words[:, 2 - color]).max() > 0.3


def test_another_seed_does_not_load_the_model_again(server: Server) -> None:
    server.run(one_node())
    events = server.run(one_node(seed=2))
    cached = [
        node for e in events if e["type"] == "execution_cached" for node in e["data"]["nodes"]
    ]
    executed = [e["data"]["node"] for e in events if e["type"] == "executing" and e["data"]["node"]]
    assert "photo" in cached
    # The node, of its graph what samples, decodes and ends it, and the file.
    assert len(executed) == 5, executed


def test_another_photo_does_not_load_the_model_again(server: Server) -> None:
    workflow = one_node(image=["flipped", 0])
    flip = {"image": ["photo", 0], "flip_method": "x-axis: vertically"}
    workflow["flipped"] = {"class_type": "ImageFlip", "inputs": flip}
    server.run(workflow)
    flip["flip_method"] = "y-axis: horizontally"
    events = server.run(workflow)
    executed = [e["data"]["node"] for e in events if e["type"] == "executing" and e["data"]["node"]]
    # Of the node's graph what reads, samples, decodes and ends it.
    assert [node for node in executed if not node.startswith("colorize.")] == [
        *("colorize", "flipped", "save")
    ]
    assert len(executed) == 3 + 4, executed


def test_each_photo_of_a_list_is_colorized_with_its_own_words(
    server: Server, photo: Tensor
) -> None:
    workflow = one_node(image=["photos", 0], text=["texts", 0])
    workflow["flipped"] = {
        "class_type": "ImageFlip",
        "inputs": {"image": ["photo", 0], "flip_method": "x-axis: vertically"},
    }
    photos = {"inputs.input0": ["photo", 0], "inputs.input1": ["flipped", 0]}
    workflow["photos"] = {"class_type": "CreateList", "inputs": photos}
    texts = {f"inputs.input{i}": [f"text{i}", 0] for i in range(2)}
    workflow["texts"] = {"class_type": "CreateList", "inputs": texts}
    for number, text in enumerate(("a red disc", "a blue disc")):
        workflow[f"text{number}"] = {"class_type": "PrimitiveString", "inputs": {"value": text}}
    events = server.run(workflow)
    (done,) = [e for e in events if e["type"] == "executed" and e["data"]["node"] == "save"]
    first, second = map(server.fetch, done["data"]["output"]["images"])
    assert (lightness(first) - lightness(photo)).abs().mean() < 0.5
    assert (lightness(second) - lightness(photo.flip(2))).abs().mean() < 0.5
    assert (first - second.flip(2)).abs().mean() > 0.01


def test_cancelling_stops_before_the_last_step(server: Server) -> None:
    connection = server.listen()
    prompt = server.post(one_node(steps=50, resolution=192))  # of about half a second each
    events = until_end(connection, prompt)
    steps = (e["data"] for e in events if e["type"] == "progress" and e["data"]["max"] == 50)
    made = [next(steps)["value"]]
    server.request("interrupt", {"prompt_id": prompt})
    (*after, last) = events
    connection.close()
    made += [e["data"]["value"] for e in after if e["type"] == "progress"]
    assert last["type"] == "execution_interrupted"
    assert max(made) < 50


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
    assert "image is 1 x 91 x 135 x 4: it must be" in error["data"]["exception_message"]


def test_a_wrong_value_is_refused_at_once(server: Server) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        server.post(one_node(steps=0, checkpoint="none.safetensors"))
    answer = json.loads(refusal.value.read())
    named = {e["extra_info"]["input_name"] for e in answer["node_errors"]["colorize"]["errors"]}
    assert named == {"steps", "checkpoint"}
