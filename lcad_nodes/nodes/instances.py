"""Nodes for descriptions of several objects, each with a mask."""

# The host calls `execute` with a node's own inputs.
# pyright: reportIncompatibleMethodOverride=false

from comfy_api.latest import io, ui
from torch import Tensor

from ..host.guidance import Guidance, Mode, guide_attention
from ..host.instances import Instances, encode_instances, without_weights
from ..model.guidance import Reduction
from .compat import growing, grown, schema
from .preview import draw_instances
from .types import CATEGORY, InputError, LCADInstances, require

MAX_MASKS = 50
STRENGTH = io.Float.Input(
    "strength",
    default=3.0,
    min=0.0,
    max=10000.0,
    step=0.1,
    tooltip="How strongly every phrase keeps to its mask: 1 to 5, with lcad-mini up to 8; far "
    "above, the picture breaks up.",
)
MODE = io.Combo.Input(
    "mode",
    options=["fast", "reference"],
    default="fast",
    tooltip="fast: one pass a step. reference: two passes a step, as published.",
)


class InstancesNode(io.ComfyNode):
    """LCAD_Instances."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="LCAD_Instances",
            display_name="Describe Objects (L-CAD)",
            category=CATEGORY,
            description="Encodes a description and says where in the photo each object is.",
            search_aliases=["colorize objects", "masks", "regional prompt"],
            inputs=[
                io.Clip.Input("clip", tooltip="From 'Load Checkpoint (L-CAD)'."),
                io.String.Input(
                    "text",
                    multiline=True,
                    tooltip="The whole description, such as: the left cup is blue, the right cup "
                    "is red",
                ),
                io.String.Input(
                    "phrases",
                    multiline=True,
                    default="",
                    tooltip="One phrase of the description a line, one for each mask. Empty: the "
                    "description's comma-separated parts.",
                ),
                *growing(
                    "masks",
                    io.Mask.Input(
                        "mask",
                        tooltip="Where the phrase's object is, in the photo's size or its "
                        "proportions. A batch of masks counts as that many.",
                    ),
                    prefix="mask_",
                    most=MAX_MASKS,
                    tooltip="One mask for each phrase, in the same order.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(
                    display_name="positive", tooltip="The encoded description, for the sampler."
                ),
                LCADInstances.Output(
                    display_name="instances",
                    tooltip="For 'Keep Colors to Masks (L-CAD)' or 'Sample Colors (L-CAD)'.",
                ),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        clip: io.Clip.Type,
        text: str,
        phrases: str,
        masks: dict[str, Tensor] | None = None,
        **numbered: Tensor,
    ) -> io.NodeOutput:
        """Encode, and show which words go with which mask.

        The masks come as one list, or one by one from a host whose lists do not grow.
        """
        require(clip, "clip", "'Load CLIP' with the text encoder of its base model")
        single = [mask for batch in grown(masks or numbered) for mask in _single_masks(batch)]
        positive, instances = encode_instances(clip, text, phrases, single)
        return io.NodeOutput(
            positive,
            instances,
            ui=ui.PreviewImage(draw_instances(instances, without_weights(text)), cls=cls),
        )


class GuideAttention(io.ComfyNode):
    """LCAD_GuideAttention."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="LCAD_GuideAttention",
            display_name="Keep Colors to Masks (L-CAD)",
            category=CATEGORY,
            description="Keeps every phrase's colors to its mask, with any sampler node.",
            search_aliases=["instance guidance", "attention masks", "regional"],
            inputs=[
                io.Model.Input("model", tooltip="A luminance-conditioned model."),
                LCADInstances.Input(
                    "instances",
                    tooltip="From the 'Describe Objects (L-CAD)' whose positive goes to the "
                    "sampler.",
                ),
                STRENGTH,
                _percent("start", 0.0, "begins"),
                _percent("end", 1.0, "ends"),
                MODE,
                io.Combo.Input(
                    "reduction",
                    options=["sum", "mean"],
                    default="sum",
                    tooltip="sum: the strength is per element of attention, whatever the photo's "
                    "size. mean: as in the published code.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The guided model, for any sampler.")],
        )

    @classmethod
    def execute(
        cls,
        model: io.Model.Type,
        instances: Instances,
        strength: float,
        start: float,
        end: float,
        mode: Mode,
        reduction: Reduction,
    ) -> io.NodeOutput:
        """Guide a copy of the model."""
        if start >= end:
            raise InputError(f"start is {start:g} and end is {end:g}: start must be before end")
        guidance = Guidance(instances, strength, start, end, mode, reduction)
        return io.NodeOutput(guide_attention(model, guidance))


def _percent(name: str, default: float, verb: str) -> io.Float.Input:
    return io.Float.Input(
        name,
        default=default,
        min=0.0,
        max=1.0,
        step=0.01,
        tooltip=f"Share of the sampling at which guidance {verb}.",
    )


def _single_masks(batch: Tensor) -> list[Tensor]:
    """Take a MASK input apart; the host has single ones (HxW) and batches (BxHxW)."""
    if batch.ndim == 3 and not len(batch):
        raise InputError("a mask input holds no mask: the node before it has found nothing")
    if batch.ndim not in (2, 3) or not batch.numel():
        raise InputError(
            f"a mask is {' x '.join(map(str, batch.shape))}: it must be height x width, or a batch "
            "of such, and not empty"
        )
    return list(batch.float().cpu().reshape(-1, *batch.shape[-2:]))  # as the host keeps masks
