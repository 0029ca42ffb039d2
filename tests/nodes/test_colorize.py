"""The one node that does everything, as the graph that it makes of the others."""

from typing import Any

import torch

from lcad_nodes.nodes.colorize import Colorize, Pictures

SETTINGS = {
    "checkpoint": "a.safetensors",
    "image": ["photo", 0],
    "text": "a red car",
    "seed": 7,
    "steps": 5,
    "cfg": 4.5,
    "resolution": 192,
}


def graph(**changes: Any) -> dict[str, list[dict[str, Any]]]:
    """The inputs of the nodes inside, by the nodes' ids."""
    expand: Any = Colorize.execute(**(SETTINGS | changes)).expand
    found: dict[str, list[dict[str, Any]]] = {}
    for node in expand.values():
        found.setdefault(node["class_type"], []).append(node["inputs"])
    return found


def test_every_setting_reaches_the_node_that_it_is_for() -> None:
    found = graph()
    assert found["LCAD_LoadCheckpoint"] == [{"ckpt_name": "a.safetensors"}]
    assert [inputs["text"] for inputs in found["CLIPTextEncode"]] == ["a red car", ""]
    (encoded,) = found["LCAD_EncodeLuminance"]
    assert (encoded["image"], encoded["resolution"]) == (["photo", 0], 192)
    (sampled,) = found["LCAD_Sample"]
    assert (sampled["seed"], sampled["steps"], sampled["cfg"]) == (7, 5, 4.5)


def test_links_are_handed_on_in_place_of_values() -> None:
    found = graph(**{name: ["elsewhere", 0] for name in SETTINGS})
    handed_on = [
        value
        for nodes in found.values()
        for inputs in nodes
        for value in inputs.values()
        if value == ["elsewhere", 0]
    ]
    assert len(handed_on) == len(SETTINGS)


def test_pictures_come_as_one_list() -> None:
    pictures = [torch.zeros(1, 8, 8, 3), torch.zeros(1, 9, 8, 3)]
    assert Pictures.execute(pictures).args == (pictures,)
