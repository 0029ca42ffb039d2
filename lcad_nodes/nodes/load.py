"""Nodes that load models."""

# The host calls `execute` with a node's own inputs.
# pyright: reportIncompatibleMethodOverride=false

import folder_paths
from comfy_api.latest import io

from ..host.files import file_state
from ..host.loading import load_checkpoint, load_unet
from .compat import schema
from .types import CATEGORY, SHIPPED, LCADEncoder


class LoadCheckpoint(io.ComfyNode):
    """LCAD_LoadCheckpoint."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="LCAD_LoadCheckpoint",
            display_name="Load Checkpoint (L-CAD)",
            category=CATEGORY,
            description="Loads a model that colorizes photos from words.",
            search_aliases=["colorize", "recolor", "black and white", "load lcad"],
            inputs=[
                io.Combo.Input(
                    "ckpt_name",
                    options=folder_paths.get_filename_list("checkpoints"),
                    default=SHIPPED,
                    tooltip="A luminance-conditioned checkpoint: the small model that comes with "
                    "this pack, or a .ckpt or .safetensors file in models/checkpoints.",
                )
            ],
            outputs=[
                io.Model.Output(tooltip="Denoises colors; reads the photo's luminance."),
                io.Clip.Output(tooltip="Reads the description."),
                io.Vae.Output(tooltip="Turns latents into colors; for 'Decode Colors (L-CAD)'."),
                LCADEncoder.Output(
                    display_name="encoder", tooltip="Reads the photo; for 'Encode Photo (L-CAD)'."
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, ckpt_name: object, **_others: object) -> object:
        """Tell the host when another file has the name."""
        return file_state("checkpoints", ckpt_name)

    @classmethod
    def execute(cls, ckpt_name: str) -> io.NodeOutput:
        """Load the file."""
        path = folder_paths.get_full_path_or_raise("checkpoints", ckpt_name)
        return io.NodeOutput(*load_checkpoint(path))


class LoadUNet(io.ComfyNode):
    """LCAD_LoadUNet."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="LCAD_LoadUNet",
            display_name="Load UNet (L-CAD)",
            category=CATEGORY,
            description="Loads a luminance-conditioned UNet alone.",
            search_aliases=["colorize", "diffusion model"],
            inputs=[
                io.Combo.Input(
                    "unet_name",
                    options=folder_paths.get_filename_list("diffusion_models"),
                    tooltip="A file in models/diffusion_models that holds a luminance-conditioned "
                    "UNet. Encoder, text encoder and VAE come from other loaders.",
                )
            ],
            outputs=[io.Model.Output(tooltip="Denoises colors; reads the photo's luminance.")],
        )

    @classmethod
    def fingerprint_inputs(cls, unet_name: object, **_others: object) -> object:
        """Tell the host when another file has the name."""
        return file_state("diffusion_models", unet_name)

    @classmethod
    def execute(cls, unet_name: str) -> io.NodeOutput:
        """Load the file."""
        path = folder_paths.get_full_path_or_raise("diffusion_models", unet_name)
        return io.NodeOutput(load_unet(path))
