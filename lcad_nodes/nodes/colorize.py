"""Everything in one node."""

# The host calls `execute` with a node's own inputs.
# pyright: reportIncompatibleMethodOverride=false

from copy import copy

import folder_paths
from comfy_api.latest import io
from comfy_execution.graph_utils import GraphBuilder
from torch import Tensor

from ..host.files import file_state
from .compat import schema
from .encode import RESOLUTION
from .sample import sampling_inputs
from .types import CATEGORY, SHIPPED


class Colorize(io.ComfyNode):
    """LCAD_Colorize: the other nodes as one.

    It runs them as a graph of its own, into which links go as they are: so lists are gone through
    as in any graph, and the host keeps what it keeps of any graph. It keeps the loaded model for
    another photo only if it meets this node before the photo's; hence nothing is waited for.
    """

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="LCAD_Colorize",
            display_name="Colorize Photo (L-CAD)",
            category=CATEGORY,
            description="Colorizes a photo from a description: photo and words in, color photo "
            "out.",
            search_aliases=["colorize", "recolor", "black and white", "old photo", "grayscale"],
            inputs=[
                _passed_on(entry)
                for entry in (
                    io.Combo.Input(
                        "checkpoint",
                        options=folder_paths.get_filename_list("checkpoints"),
                        default=SHIPPED,
                        tooltip="A luminance-conditioned checkpoint; one comes with this pack.",
                    ),
                    io.Image.Input(
                        "image",
                        tooltip="The photo, of any size. Color photos are turned gray first.",
                    ),
                    io.String.Input(
                        "text",
                        multiline=True,
                        default="",
                        tooltip="What is to have which color, such as: a red car on a green "
                        "meadow. Empty: the model chooses.",
                    ),
                    *sampling_inputs(),
                    RESOLUTION,
                )
            ],
            outputs=[
                io.Image.Output(
                    tooltip="The photo in color, of the same size.", is_output_list=True
                )
            ],
            enable_expand=True,
        )

    @classmethod
    def fingerprint_inputs(cls, checkpoint: object, **_others: object) -> object:
        """Tell the host when another file has the name."""
        return file_state("checkpoints", checkpoint)

    @classmethod
    def execute(
        cls,
        checkpoint: str,
        image: Tensor,
        text: str,
        seed: int,
        steps: int,
        cfg: float,
        resolution: int,
    ) -> io.NodeOutput:
        """Build the graph of the other nodes."""
        graph = GraphBuilder()
        loaded = graph.node("LCAD_LoadCheckpoint", ckpt_name=checkpoint)
        model, clip, vae, encoder = (loaded.out(i) for i in range(4))
        positive = graph.node("CLIPTextEncode", clip=clip, text=text)
        negative = graph.node("CLIPTextEncode", clip=clip, text="")
        luminance = graph.node(
            "LCAD_EncodeLuminance", encoder=encoder, image=image, resolution=resolution
        )
        latent = graph.node(
            "LCAD_Sample",
            model=model,
            positive=positive.out(0),
            negative=negative.out(0),
            luminance=luminance.out(0),
            seed=seed,
            steps=steps,
            cfg=cfg,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
            strength=0.0,
            mode="fast",
        )
        picture = graph.node(
            "LCAD_Decode",
            vae=vae,
            latent=latent.out(0),
            luminance=luminance.out(0),
            lightness="input",
        )
        pictures = graph.node("LCAD_Pictures", pictures=picture.out(0))
        return io.NodeOutput(pictures.out(0), expand=graph.finalize())


class Pictures(io.ComfyNode):
    """LCAD_Pictures, the end of that graph: its pictures as one list, which users never see.

    Of what a graph inside a node gives, the host takes the first value alone.
    """

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="LCAD_Pictures",
            category=CATEGORY,
            is_dev_only=True,
            is_input_list=True,
            inputs=[io.Image.Input("pictures")],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, pictures: list[Tensor]) -> io.NodeOutput:
        """Give the list as one value."""
        return io.NodeOutput(pictures)


def _passed_on(entry: io.Input) -> io.Input:
    """An input of which the host hands the link on, and does not wait for its value."""
    entry = copy(entry)
    entry.extra_dict = {**entry.extra_dict, "rawLink": True, "lazy": True}
    return entry
