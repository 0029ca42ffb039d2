"""Attention maps of a real sampling run."""

from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..model.attention import AttentionRecorder
from .conditioning import Conditioning
from .errors import ConditioningError
from .guidance import Guidance, guidance_of, guide_attention
from .instances import Instances
from .luminance import Luminance
from .sampling import SamplerSettings, ScheduleError, sample


def attention_maps(
    model: ModelPatcher,
    instances: Instances,
    positive: Conditioning,
    negative: Conditioning,
    luminance: Luminance,
    settings: SamplerSettings,
    step: int,
) -> Tensor:
    """Sample, and look where every phrase is read; the model itself stays as it is.

    Args:
        model: a luminance-conditioned model, guided by these instances or not at all.
        instances: whose phrases are looked for.
        positive: the encoded description that the instances are of.
        negative: the encoded negative prompt.
        luminance: of the photos.
        settings: what the host's KSampler takes.
        step: the step to look at, from 1; sampling ends after it. 0: the mean of all steps.

    Returns:
        B x phrases x h x w on the latent's grid, padding and all: the share of its attention, in
        [0, 1], that a position gives to a phrase, averaged over layers and heads.

    Raises:
        ConditioningError: if model, instances, positive and luminance do not belong together, or
            a prompt is for an area of the photo only, or not for this step; or if the model samples
            in context windows.
        MaskError: if masks are not of the photo's shape.
        ScheduleError: if there is no such step; some samplers have fewer than were asked for.
    """
    if step > settings.steps:
        raise ScheduleError(f"step is {step}, but there are {settings.steps} steps")
    guidance = guidance_of(model) or Guidance(instances, 0.0, 0.0, 1.0, "fast", "sum")
    if not guidance.instances.equals(instances):
        raise ConditioningError(
            "the model is guided by other instances than those to look at: connect both to one "
            "'Describe Objects (L-CAD)'"
        )
    if model.model_options.get("context_handler"):
        raise ConditioningError(
            "the model samples in context windows: attention maps are of all photos at once, so "
            "connect the model from before 'Context Windows'"
        )
    if any("area" in values or values.get("set_area_to_bounds") for _, values in positive):
        raise ConditioningError(
            "positive is for an area of the photo: attention maps are of the whole photo, so "
            "connect the prompt from before its area was set"
        )
    recorder = AttentionRecorder(luminance.geometry.latent, step)
    observed = guide_attention(model, guidance, recorder.observe)
    last_step = step or settings.steps
    sample(
        observed, positive, negative, luminance, settings, last_step, after_step=recorder.end_step
    )
    try:
        return recorder.maps()
    except LookupError as error:
        if step <= recorder.last_step:
            raise ConditioningError(
                f"positive was not used in {f'step {step}' if step else 'any step'}: look at a "
                "step that its timestep range includes"
            ) from error
        raise ScheduleError(
            f"step is {step}, but {settings.sampler_name} makes fewer: use 0 or another sampler"
        ) from error
