"""The node that makes the picture."""

# The host calls `execute` with a node's own inputs.
# pyright: reportIncompatibleMethodOverride=false

from typing import Any

from comfy_api.latest import io

from ..host.decoding import Lightness, check_photos, decode
from ..host.luminance import Luminance
from .compat import schema
from .types import CATEGORY, LCADLuminance, require, to_image


class Decode(io.ComfyNode):
    """LCAD_Decode."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="LCAD_Decode",
            display_name="Decode Colors (L-CAD)",
            category=CATEGORY,
            description="Turns sampled colors into a picture of the photo's own size.",
            search_aliases=["colorize", "vae decode"],
            inputs=[
                io.Vae.Input("vae", tooltip="From 'Load Checkpoint (L-CAD)'."),
                io.Latent.Input("latent", tooltip="From the sampler."),
                LCADLuminance.Input(
                    "luminance", tooltip="Of the photo that the latent was sampled for."
                ),
                io.Combo.Input(
                    "lightness",
                    options=["input", "decoder"],
                    default="input",
                    tooltip="input: exactly the photo's own lightness. decoder: what the network "
                    "gives, as published.",
                ),
                io.Boolean.Input(
                    "full_resolution",
                    default=True,
                    optional=True,
                    tooltip="On: colors end at the photo's own edges; what the network lets bleed "
                    "over them is taken back. Off: the network's colors, enlarged plainly: faster, "
                    "and they bleed over edges. With 'decoder', on only matters where the photo is "
                    "larger than the size that colors were made at.",
                ),
                io.Int.Input(
                    "tile_size",
                    default=0,
                    min=0,
                    max=4096,
                    step=64,
                    optional=True,
                    tooltip="Where memory is short: decode in tiles of this many pixels, 128 for "
                    "example. The same picture, somewhat slower. 0: in one piece.",
                ),
            ],
            outputs=[io.Image.Output(tooltip="The photo in color.")],
        )

    @classmethod
    def execute(
        cls,
        vae: io.Vae.Type,
        latent: dict[str, Any],
        luminance: Luminance,
        lightness: Lightness,
        full_resolution: bool = True,
        tile_size: int = 0,
    ) -> io.NodeOutput:
        """Decode."""
        require(vae, "vae", "'Load VAE' with the VAE that the checkpoint was trained with")
        check_photos(latent, luminance)
        pictures = decode(vae, latent["samples"], luminance, lightness, full_resolution, tile_size)
        return io.NodeOutput(to_image(pictures))
