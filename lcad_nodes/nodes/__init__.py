"""What users drag: each node is a schema, a check of its inputs and one call into the host room."""

from comfy_api.latest import io

from .colorize import Colorize, Pictures
from .decode import Decode
from .encode import Condition, EncodeLuminance
from .inspect import ArtifactMap, AttentionMaps
from .instances import GuideAttention, InstancesNode
from .load import LoadCheckpoint, LoadUNet
from .patch import ApplyPatch, ExtractPatch
from .sample import ReferenceSchedule, Sample
from .score import Score

NODES: tuple[type[io.ComfyNode], ...] = (
    LoadCheckpoint,
    LoadUNet,
    EncodeLuminance,
    Condition,
    InstancesNode,
    GuideAttention,
    Sample,
    ReferenceSchedule,
    Decode,
    Colorize,
    ExtractPatch,
    ApplyPatch,
    ArtifactMap,
    AttentionMaps,
    Score,
)
INNER: tuple[type[io.ComfyNode], ...] = (Pictures,)
"""Nodes of graphs inside nodes, which no workflow file holds."""
