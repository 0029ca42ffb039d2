"""Workflows in the format of the host's API, with the pictures and models of the tests."""

from typing import Any


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


def side_by_side(*workflows: dict[str, Any]) -> dict[str, Any]:
    """Join workflows into one, nodes that are the same in all of them only once.

    What differs, and what comes after it, gets the workflow's number at the end of its name.
    """
    joined: dict[str, Any] = {}
    for number, workflow in enumerate(workflows):
        own: set[str] = set()
        for name, node in workflow.items():  # in the order that they run in
            sources = {value[0] for value in node["inputs"].values() if isinstance(value, list)}
            if own & sources or any(other[name] != node for other in workflows):
                own.add(name)
        for name, node in workflow.items():
            inputs = {
                key: [f"{value[0]}{number}", value[1]]
                if isinstance(value, list) and value[0] in own
                else value
                for key, value in node["inputs"].items()
            }
            joined[f"{name}{number}" if name in own else name] = {**node, "inputs": inputs}
    return joined
