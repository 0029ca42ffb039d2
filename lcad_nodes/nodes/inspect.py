"""Nodes that show what the method sees."""

# The host calls `execute` with a node's own inputs.
# pyright: reportIncompatibleMethodOverride=false

from comfy_api.latest import io
from torch import Tensor

from ..color.artifact import artifact_map
from ..color.heatmap import heat
from ..color.lab import gray
from ..host.attention import attention_maps
from ..host.conditioning import Conditioning
from ..host.instances import Instances
from ..host.luminance import Luminance
from ..host.sampling import SamplerSettings
from .compat import schema
from .preview import draw_attention
from .sample import SAMPLER, SCHEDULER, sampling_inputs
from .types import (
    CATEGORY,
    LCADInstances,
    LCADLuminance,
    fit_reference,
    from_image,
    to_image,
)

LARGEST = 1024
"""Longer side of the heatmaps, in px."""


class ArtifactMap(io.ComfyNode):
    """LCAD_ArtifactMap."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="LCAD_ArtifactMap",
            display_name="Artifact Map (L-CAD)",
            category=CATEGORY,
            description="Shows where a picture differs from a reference unevenly, as artifacts "
            "do: the map that weighs the autoencoder's error in training.",
            search_aliases=["artifacts", "difference", "compare images", "colorize", "heatmap"],
            inputs=[
                io.Image.Input("image", tooltip="The picture to look at, colorized for example."),
                io.Image.Input(
                    "reference",
                    tooltip="What it should look like, of the same size; one for all pictures, or "
                    "one for each.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="heatmap",
                    tooltip="The map as colors: black where nothing differs or all by the same, "
                    "bright where differences are most uneven.",
                ),
                io.Mask.Output(
                    display_name="map", tooltip="The map as a mask: 1 where it differs most."
                ),
            ],
        )

    @classmethod
    def execute(cls, image: Tensor, reference: Tensor) -> io.NodeOutput:
        """Compute the map, on one scale for the whole batch."""
        pictures = from_image(image)
        truth = fit_reference(from_image(reference, "reference"), pictures)
        found = artifact_map(pictures, truth)
        scaled = found / found.amax().clamp(min=1e-12)
        return io.NodeOutput(to_image(heat(scaled)), scaled[:, 0])


class AttentionMaps(io.ComfyNode):
    """LCAD_AttentionMaps."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="LCAD_AttentionMaps",
            display_name="Attention Maps (L-CAD)",
            category=CATEGORY,
            description="Shows where in the photo the model looks for each phrase, with masks to "
            "guide it or without.",
            search_aliases=["heatmap", "cross attention", "colorize", "explain", "daam"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="From 'Load Checkpoint (L-CAD)'; or from 'Keep Colors to Masks "
                    "(L-CAD)', to see what its guidance does.",
                ),
                LCADInstances.Input(
                    "instances", tooltip="The phrases; from 'Describe Objects (L-CAD)'."
                ),
                io.Conditioning.Input(
                    "positive", tooltip="From the same 'Describe Objects (L-CAD)'."
                ),
                io.Conditioning.Input("negative", tooltip="An encoded empty text, usually."),
                LCADLuminance.Input("luminance", tooltip="From 'Encode Photo (L-CAD)'."),
                *sampling_inputs(),
                SAMPLER,
                SCHEDULER,
                io.Int.Input(
                    "step",
                    default=0,
                    min=0,
                    max=1000,
                    tooltip="The step to look at, from 1; sampling ends there. 0: the mean of all "
                    "steps.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="heatmaps",
                    tooltip="One picture a phrase, in the phrases' order, bright where the phrase "
                    f"is read most; the photo at most {LARGEST} pixels a side, the phrase below.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        model: io.Model.Type,
        instances: Instances,
        positive: Conditioning,
        negative: Conditioning,
        luminance: Luminance,
        seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        step: int,
    ) -> io.NodeOutput:
        """Sample, and draw a heatmap a phrase."""
        settings = SamplerSettings(seed, steps, cfg, sampler_name, scheduler, 1.0)
        maps = attention_maps(model, instances, positive, negative, luminance, settings, step)
        on_photo = luminance.geometry.from_latent(maps.to(luminance.lightness), LARGEST)
        photos = gray(luminance.thumbnail(LARGEST))
        phrases = [item.phrase for item in instances.items]
        return io.NodeOutput(draw_attention(photos, on_photo, phrases))
