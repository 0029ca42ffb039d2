"""Nodes that bring a photo's luminance in."""

# The host calls `execute` with a node's own inputs.
# pyright: reportIncompatibleMethodOverride=false

from comfy_api.latest import io
from torch import Tensor

from ..color.lab import gray
from ..host.conditioning import Conditioning, add_luminance, empty_latent
from ..host.luminance import CHECKPOINTS, Luminance, encode_luminance
from ..model.geometry import LONGEST
from .compat import schema
from .types import CATEGORY, LCADEncoder, LCADLuminance, from_image, to_image

RESOLUTION = io.Int.Input(
    "resolution",
    default=CHECKPOINTS,
    min=CHECKPOINTS,
    max=LONGEST,
    tooltip="Shorter side, in pixels, of the size that colors are made at. -1: what the model was "
    "trained at, as its file says, else 256; best as a rule. 0: the photo's own. The result has "
    "the photo's size in any case.",
)


class EncodeLuminance(io.ComfyNode):
    """LCAD_EncodeLuminance."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="LCAD_EncodeLuminance",
            display_name="Encode Photo (L-CAD)",
            category=CATEGORY,
            description="Reads a photo's lightness, once for all steps. Color photos are turned "
            "gray.",
            search_aliases=["colorize", "black and white", "grayscale"],
            inputs=[
                LCADEncoder.Input("encoder", tooltip="From 'Load Checkpoint (L-CAD)'."),
                io.Image.Input("image", tooltip="The photo, of any size; its colors are ignored."),
                RESOLUTION,
            ],
            outputs=[
                LCADLuminance.Output(display_name="luminance", tooltip="What the networks read."),
                io.Image.Output(display_name="gray", tooltip="The photo without its colors."),
            ],
        )

    @classmethod
    def execute(cls, encoder: io.Model.Type, image: Tensor, resolution: int) -> io.NodeOutput:
        """Encode the photo."""
        luminance = encode_luminance(encoder, from_image(image), resolution)
        return io.NodeOutput(luminance, to_image(gray(luminance.lightness)))


class Condition(io.ComfyNode):
    """LCAD_Condition."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="LCAD_Condition",
            display_name="Add Photo to Prompts (L-CAD)",
            category=CATEGORY,
            description="Gives both prompts the photo's luminance, for any sampler node.",
            search_aliases=["colorize", "apply luminance"],
            inputs=[
                io.Conditioning.Input("positive", tooltip="The encoded description."),
                io.Conditioning.Input("negative", tooltip="An encoded empty text, usually."),
                LCADLuminance.Input("luminance", tooltip="From 'Encode Photo (L-CAD)'."),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="For the sampler."),
                io.Conditioning.Output(display_name="negative", tooltip="For the sampler."),
                io.Latent.Output(
                    display_name="latent", tooltip="Empty, of the right size, for the sampler."
                ),
            ],
        )

    @classmethod
    def execute(
        cls, positive: Conditioning, negative: Conditioning, luminance: Luminance
    ) -> io.NodeOutput:
        """Add the luminance to both."""
        return io.NodeOutput(
            add_luminance(positive, luminance),
            add_luminance(negative, luminance),
            empty_latent(luminance),
        )
