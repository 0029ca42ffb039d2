"""Nodes that sample."""

# The host calls `execute` with a node's own inputs.
# pyright: reportIncompatibleMethodOverride=false

from comfy_api.latest import io

from ..host.conditioning import Conditioning
from ..host.guidance import Guidance, Mode, guide_attention
from ..host.instances import Instances
from ..host.luminance import Luminance
from ..host.sampling import (
    SAMPLERS,
    SCHEDULERS,
    ReferenceSampler,
    SamplerSettings,
    reference_sigmas,
    sample,
)
from .compat import schema
from .instances import MODE, STRENGTH
from .types import CATEGORY, LCADInstances, LCADLuminance

SAMPLER = io.Combo.Input(
    "sampler_name",
    options=SAMPLERS,
    default="euler",
    tooltip="The sampler's step; 'ddim' is the published one.",
)
SCHEDULER = io.Combo.Input(
    "scheduler",
    options=SCHEDULERS,
    default="normal",
    tooltip="How the steps are spread over the noise levels.",
)


class Sample(io.ComfyNode):
    """LCAD_Sample."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="LCAD_Sample",
            display_name="Sample Colors (L-CAD)",
            category=CATEGORY,
            description="Makes the colors: prompts, luminance and guidance in one sampler.",
            search_aliases=["colorize", "ksampler"],
            inputs=[
                io.Model.Input("model", tooltip="From 'Load Checkpoint (L-CAD)'."),
                io.Conditioning.Input("positive", tooltip="The encoded description."),
                io.Conditioning.Input("negative", tooltip="An encoded empty text, usually."),
                LCADLuminance.Input("luminance", tooltip="From 'Encode Photo (L-CAD)'."),
                *sampling_inputs(),
                SAMPLER,
                SCHEDULER,
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Below 1, sampling starts late from the gray photo: paler colors, "
                    "closer to gray. A model that came without its VAE starts from an empty "
                    "latent, which may have a tint.",
                ),
                LCADInstances.Input(
                    "instances",
                    optional=True,
                    tooltip="Keeps every phrase to its mask; from the 'Describe Objects (L-CAD)' "
                    "that gives positive.",
                ),
                STRENGTH,
                MODE,
            ],
            outputs=[io.Latent.Output(tooltip="For 'Decode Colors (L-CAD)'.")],
        )

    @classmethod
    def execute(
        cls,
        model: io.Model.Type,
        positive: Conditioning,
        negative: Conditioning,
        luminance: Luminance,
        seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        denoise: float,
        strength: float,
        mode: Mode,
        instances: Instances | None = None,
    ) -> io.NodeOutput:
        """Sample, guided where there are instances."""
        if instances is not None:
            model = guide_attention(model, Guidance(instances, strength, 0.0, 1.0, mode, "sum"))
        settings = SamplerSettings(seed, steps, cfg, sampler_name, scheduler, denoise)
        return io.NodeOutput(sample(model, positive, negative, luminance, settings))


class ReferenceSchedule(io.ComfyNode):
    """LCAD_ReferenceSchedule."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="LCAD_ReferenceSchedule",
            display_name="Reference Schedule (L-CAD)",
            category=CATEGORY,
            description="The published sampler, for 'SamplerCustom': connect both outputs "
            "to get the published result.",
            search_aliases=["ddim", "published schedule"],
            inputs=[
                io.Model.Input("model", tooltip="The model that is sampled."),
                io.Int.Input(
                    "steps",
                    default=50,
                    min=1,
                    max=999,
                    tooltip="Number of steps; 50 in the published results.",
                ),
            ],
            outputs=[
                io.Sigmas.Output(
                    display_name="sigmas", tooltip="Noise levels of the published timesteps."
                ),
                io.Sampler.Output(
                    display_name="sampler",
                    tooltip="DDIM between the published ends; any other sampler works, but starts "
                    "and ends slightly off.",
                ),
            ],
        )

    @classmethod
    def execute(cls, model: io.Model.Type, steps: int) -> io.NodeOutput:
        """Compute the schedule."""
        sigmas = reference_sigmas(model, steps)
        return io.NodeOutput(sigmas, ReferenceSampler(sigmas))


def sampling_inputs() -> list[io.Input]:
    """List the inputs that every node that samples has."""
    return [
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=0xFFFFFFFFFFFFFFFF,
            control_after_generate=True,
            tooltip="Another seed, another choice of what the description leaves open.",
        ),
        io.Int.Input(
            "steps", default=20, min=1, max=1000, tooltip="More steps, slower and a little better."
        ),
        io.Float.Input(
            "cfg",
            default=3.0,
            min=1.0,
            max=100.0,
            step=0.1,
            tooltip="How closely colors follow the description: 4.5 to 9 in the published "
            "results, 3 suits the model that comes with the pack.",
        ),
    ]
