"""The nodes as shared workflow files know them."""

import re
from pathlib import Path

import pytest
from comfy_api.latest import io

import lcad_nodes
from lcad_nodes.nodes import NODES

PUBLIC = {
    "LCAD_LoadCheckpoint": (["ckpt_name"], ["MODEL", "CLIP", "VAE", "LCAD_ENCODER"]),
    "LCAD_LoadUNet": (["unet_name"], ["MODEL"]),
    "LCAD_EncodeLuminance": (["encoder", "image", "resolution"], ["LCAD_LUMINANCE", "IMAGE"]),
    "LCAD_Condition": (
        ["positive", "negative", "luminance"],
        ["CONDITIONING", "CONDITIONING", "LATENT"],
    ),
    "LCAD_Instances": (["clip", "text", "phrases", "masks"], ["CONDITIONING", "LCAD_INSTANCES"]),
    "LCAD_GuideAttention": (
        ["model", "instances", "strength", "start", "end", "mode", "reduction"],
        ["MODEL"],
    ),
    "LCAD_Sample": (
        [
            *("model", "positive", "negative", "luminance", "seed", "steps", "cfg"),
            *("sampler_name", "scheduler", "denoise", "instances", "strength", "mode"),
        ],
        ["LATENT"],
    ),
    "LCAD_ReferenceSchedule": (["model", "steps"], ["SIGMAS", "SAMPLER"]),
    "LCAD_Decode": (
        ["vae", "latent", "luminance", "lightness", "full_resolution", "tile_size"],
        ["IMAGE"],
    ),
    "LCAD_Colorize": (
        ["checkpoint", "image", "text", "seed", "steps", "cfg", "resolution"],
        ["IMAGE"],
    ),
    "LCAD_ExtractPatch": (["original", "base", "filename_prefix"], []),
    "LCAD_ApplyPatch": (["model", "patch_name", "strength"], ["MODEL", "LCAD_ENCODER"]),
    "LCAD_ArtifactMap": (["image", "reference"], ["IMAGE", "MASK"]),
    "LCAD_AttentionMaps": (
        [
            *("model", "instances", "positive", "negative", "luminance", "seed", "steps", "cfg"),
            *("sampler_name", "scheduler", "step"),
        ],
        ["IMAGE"],
    ),
    "LCAD_Score": (["image", "reference", "instances"], ["STRING", "STRING"]),
}
SCHEMAS = {schema.node_id: schema for schema in (node.GET_SCHEMA() for node in NODES)}


def test_ids_never_change() -> None:
    assert set(SCHEMAS) == set(PUBLIC)


@pytest.mark.parametrize("node_id", PUBLIC)
def test_inputs_and_outputs_never_change(node_id: str) -> None:
    schema = SCHEMAS[node_id]
    inputs = [entry.id for entry in schema.inputs]
    assert (inputs, [output.io_type for output in schema.outputs]) == PUBLIC[node_id]


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
