"""Nodes that carry luminance over to other models of the family."""

# The host calls `execute` with a node's own inputs.
# pyright: reportIncompatibleMethodOverride=false

import folder_paths
from comfy_api.latest import io

from ..host.files import file_state
from ..host.patch import FOLDER, apply_patch, extract_patch
from .compat import schema
from .types import CATEGORY, LCADEncoder


class ExtractPatch(io.ComfyNode):
    """LCAD_ExtractPatch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        checkpoints = folder_paths.get_filename_list("checkpoints")
        return schema(
            node_id="LCAD_ExtractPatch",
            display_name="Extract Patch (L-CAD)",
            category=CATEGORY,
            description="Saves what a model learned about coloring, to be put onto other Stable "
            "Diffusion 1.x models.",
            search_aliases=["colorize", "extract lora", "subtract models"],
            inputs=[
                io.Combo.Input(
                    "original", options=checkpoints, tooltip="A luminance-conditioned checkpoint."
                ),
                io.Combo.Input(
                    "base",
                    options=checkpoints,
                    tooltip="The Stable Diffusion 1.x checkpoint that it was trained from.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default=f"{FOLDER}/lcad",
                    tooltip="Where in the output folder, and how the file's name begins.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, original: object, base: object, **_others: object) -> object:
        """Tell the host when another file has one of the names."""
        return [file_state("checkpoints", name) for name in (original, base)]

    @classmethod
    def execute(cls, original: str, base: str, filename_prefix: str) -> io.NodeOutput:
        """Write the patch."""
        extract_patch(
            folder_paths.get_full_path_or_raise("checkpoints", original),
            folder_paths.get_full_path_or_raise("checkpoints", base),
            filename_prefix,
        )
        return io.NodeOutput()


class ApplyPatch(io.ComfyNode):
    """LCAD_ApplyPatch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="LCAD_ApplyPatch",
            display_name="Apply Patch (L-CAD)",
            category=CATEGORY,
            description="Teaches a Stable Diffusion 1.x model to colorize photos.",
            search_aliases=["colorize", "lora", "add models"],
            inputs=[
                io.Model.Input(
                    "model", tooltip="Any Stable Diffusion 1.x model, fine-tuned or not."
                ),
                io.Combo.Input(
                    "patch_name",
                    options=folder_paths.get_filename_list(FOLDER),
                    tooltip="A file that 'Extract Patch (L-CAD)' has written; in "
                    "models/model_patches, or still in the output folder.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.01,
                    tooltip="1: as it was learned. 0: the model as it was.",
                ),
            ],
            outputs=[
                io.Model.Output(tooltip="Denoises colors; reads the photo's luminance."),
                LCADEncoder.Output(
                    display_name="encoder", tooltip="Reads the photo; for 'Encode Photo (L-CAD)'."
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, patch_name: object, **_others: object) -> object:
        """Tell the host when another file has the name."""
        return file_state(FOLDER, patch_name)

    @classmethod
    def execute(cls, model: io.Model.Type, patch_name: str, strength: float) -> io.NodeOutput:
        """Apply the patch."""
        path = folder_paths.get_full_path_or_raise(FOLDER, patch_name)
        return io.NodeOutput(*apply_patch(model, path, strength))
