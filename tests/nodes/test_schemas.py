"""The nodes as shared workflow files know them."""

import re
from pathlib import Path
from typing import Any

import pytest
from comfy_api.latest import io

import lcad_nodes
from lcad_nodes.nodes import NODES

LISTED = {
    *("ckpt_name", "checkpoint", "unet_name", "patch_name", "original", "base"),
    *("sampler_name", "scheduler"),
}
"""Inputs whose options are files, or what the host has."""
SEED = "INT 0 to 18446744073709551615 = 0"
STEPS = "INT 1 to 1000 = 20"
CFG = "FLOAT 1.0 to 100.0 = 3.0"
SAMPLER = {"sampler_name": "COMBO = 'euler'", "scheduler": "COMBO = 'normal'"}
RESOLUTION = "INT -1 to 16384 = -1"
STRENGTH = "FLOAT 0.0 to 10000.0 = 3.0"
MODE = "COMBO ['fast', 'reference'] = 'fast'"
PROMPTS = {
    "positive": "CONDITIONING",
    "negative": "CONDITIONING",
    "luminance": "LCAD_LUMINANCE",
}
PUBLIC: dict[str, tuple[dict[str, str], list[str]]] = {
    "LCAD_LoadCheckpoint": (
        {"ckpt_name": "COMBO = 'lcad-mini.safetensors'"},
        ["MODEL", "CLIP", "VAE", "LCAD_ENCODER"],
    ),
    "LCAD_LoadUNet": ({"unet_name": "COMBO"}, ["MODEL"]),
    "LCAD_EncodeLuminance": (
        {"encoder": "LCAD_ENCODER", "image": "IMAGE", "resolution": RESOLUTION},
        ["LCAD_LUMINANCE", "IMAGE"],
    ),
    "LCAD_Condition": (PROMPTS, ["CONDITIONING", "CONDITIONING", "LATENT"]),
    "LCAD_Instances": (
        {
            "clip": "CLIP",
            "text": "STRING",
            "phrases": "STRING = ''",
            "masks": "COMFY_AUTOGROW_V3",
        },
        ["CONDITIONING", "LCAD_INSTANCES"],
    ),
    "LCAD_GuideAttention": (
        {
            "model": "MODEL",
            "instances": "LCAD_INSTANCES",
            "strength": STRENGTH,
            "start": "FLOAT 0.0 to 1.0 = 0.0",
            "end": "FLOAT 0.0 to 1.0 = 1.0",
            "mode": MODE,
            "reduction": "COMBO ['sum', 'mean'] = 'sum'",
        },
        ["MODEL"],
    ),
    "LCAD_Sample": (
        {
            "model": "MODEL",
            **PROMPTS,
            "seed": SEED,
            "steps": STEPS,
            "cfg": CFG,
            **SAMPLER,
            "denoise": "FLOAT 0.0 to 1.0 = 1.0",
            "instances": "LCAD_INSTANCES?",
            "strength": STRENGTH,
            "mode": MODE,
        },
        ["LATENT"],
    ),
    "LCAD_ReferenceSchedule": (
        {"model": "MODEL", "steps": "INT 1 to 999 = 50"},
        ["SIGMAS", "SAMPLER"],
    ),
    "LCAD_Decode": (
        {
            "vae": "VAE",
            "latent": "LATENT",
            "luminance": "LCAD_LUMINANCE",
            "lightness": "COMBO ['input', 'decoder'] = 'input'",
            "full_resolution": "BOOLEAN? = True",
            "tile_size": "INT? 0 to 4096 = 0",
        },
        ["IMAGE"],
    ),
    "LCAD_Colorize": (
        {
            "checkpoint": "COMBO = 'lcad-mini.safetensors'",
            "image": "IMAGE",
            "text": "STRING = ''",
            "seed": SEED,
            "steps": STEPS,
            "cfg": CFG,
            "resolution": RESOLUTION,
        },
        ["IMAGE"],
    ),
    "LCAD_ExtractPatch": (
        {
            "original": "COMBO",
            "base": "COMBO",
            "filename_prefix": "STRING = 'model_patches/lcad'",
        },
        [],
    ),
    "LCAD_ApplyPatch": (
        {"model": "MODEL", "patch_name": "COMBO", "strength": "FLOAT 0.0 to 2.0 = 1.0"},
        ["MODEL", "LCAD_ENCODER"],
    ),
    "LCAD_ArtifactMap": ({"image": "IMAGE", "reference": "IMAGE"}, ["IMAGE", "MASK"]),
    "LCAD_AttentionMaps": (
        {
            "model": "MODEL",
            "instances": "LCAD_INSTANCES",
            **PROMPTS,
            "seed": SEED,
            "steps": STEPS,
            "cfg": CFG,
            **SAMPLER,
            "step": "INT 0 to 1000 = 0",
        },
        ["IMAGE"],
    ),
    "LCAD_Score": (
        {"image": "IMAGE", "reference": "IMAGE?", "instances": "LCAD_INSTANCES?"},
        ["STRING", "STRING"],
    ),
}
SCHEMAS = {schema.node_id: schema for schema in (node.GET_SCHEMA() for node in NODES)}


def test_ids_never_change() -> None:
    assert set(SCHEMAS) == set(PUBLIC)


def described(entry: Any) -> str:
    """An input's type, `?` where it is optional, its bounds or options, and its default."""
    words = [entry.io_type + "?" * entry.optional]
    if getattr(entry, "options", None) is not None and entry.id not in LISTED:
        words.append(str(entry.options))
    if getattr(entry, "max", None) is not None and entry.io_type in ("INT", "FLOAT"):
        words.append(f"{entry.min} to {entry.max}")
    if getattr(entry, "default", None) is not None:
        words.append(f"= {entry.default!r}")
    return " ".join(words)


@pytest.mark.parametrize("node_id", PUBLIC)
def test_inputs_and_outputs_never_change(node_id: str) -> None:
    """Nor what shared workflows rely on: their order, bounds, options and defaults."""
    schema = SCHEMAS[node_id]
    inputs = [(entry.id, described(entry)) for entry in schema.inputs]
    outputs = [output.io_type for output in schema.outputs]
    expected, given = PUBLIC[node_id]
    assert (inputs, outputs) == (list(expected.items()), given)


def test_the_list_of_masks_keeps_its_names_and_its_length() -> None:
    (masks,) = [each for each in SCHEMAS["LCAD_Instances"].inputs if each.id == "masks"]
    template = masks.as_dict()["template"]
    assert (template["prefix"], template["min"], template["max"]) == ("mask_", 1, 50)


@pytest.mark.parametrize("node_id", PUBLIC)
def test_everything_is_explained(node_id: str) -> None:
    schema = SCHEMAS[node_id]
    assert schema.category == "L-CAD"
    assert schema.display_name
    assert schema.description
    assert schema.search_aliases
    for entry in [*schema.inputs, *schema.outputs]:
        assert entry.tooltip, entry.id
    for entry in schema.inputs:
        if isinstance(entry, io.Autogrow.Input):
            assert entry.template.input.tooltip


def test_messages_and_tooltips_name_nodes_as_the_page_does() -> None:
    sources = Path(lcad_nodes.__file__).parent.rglob("*.py")
    lines = "".join(source.read_text(encoding="utf-8") for source in sources)
    joined = re.sub(r'"\n\s*f?"', "", lines)
    named = set(re.findall(r"'([^'\n]* \(L-CAD\))'", joined))
    assert len(named) > 5
    assert named <= {schema.display_name for schema in SCHEMAS.values()}
