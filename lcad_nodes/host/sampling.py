"""Sampling with the host's samplers, and the published sampler's schedule."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import comfy.sample
import comfy.samplers
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..color.lab import gray
from .conditioning import (
    Conditioning,
    add_luminance,
    checked,
    empty_latent,
)
from .luminance import Luminance
from .preview import FittedLatent, PhotoPreviewer, previewer_of

SAMPLERS: list[str] = comfy.samplers.KSampler.SAMPLERS
SCHEDULERS: list[str] = comfy.samplers.KSampler.SCHEDULERS
TIMESTEPS = 1000
"""Of Stable Diffusion's schedule."""


class ScheduleError(ValueError):
    """A schedule cannot be made; the message says what would be possible."""


@dataclass(frozen=True)
class SamplerSettings:
    """What the host's KSampler takes beside model, prompts and latent.

    Attributes:
        seed: of the start noise.
        steps: number of steps.
        cfg: guidance scale.
        sampler_name: one of `SAMPLERS`.
        scheduler: one of `SCHEDULERS`.
        denoise: share of the noise to start from, in [0, 1]; below 1 the rest is the gray photo, or
            the empty latent where the model came without its VAE.
    """

    seed: int
    steps: int
    cfg: float
    sampler_name: str
    scheduler: str
    denoise: float


class ReferenceSampler(comfy.samplers.KSAMPLER):
    """The published DDIM sampler (eta = 0): the host's Euler steps between other ends.

    The published sampler starts from x_T as it is, and decodes the x that it ends with as it is,
    though alpha_bar there is not 1. The host counts in x / sqrt(alpha_bar), and sqrt(alpha_bar)
    is 1 / sqrt(1 + sigma^2). A part of the schedule is sampled as the host does, but for these
    ends.
    """

    def __init__(self, schedule: Tensor) -> None:
        """Take the whole schedule of falling sigmas (see `reference_sigmas`)."""
        super().__init__(comfy.samplers.sampler_object("euler").sampler_function)
        self._first, self._last = float(schedule[0]), float(schedule[-1])

    def max_denoise(self, model_wrap: Any, sigmas: Tensor) -> bool:
        """Tell the host to start from noise * sqrt(1 + sigma^2), at the schedule's start."""
        return float(sigmas[0]) == self._first or super().max_denoise(model_wrap, sigmas)

    def sample(self, model_wrap: Any, sigmas: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Sample, and scale the result as published, at the schedule's end."""
        samples = super().sample(model_wrap, sigmas, *args, **kwargs)
        at_end = float(sigmas[-1]) == self._last
        return samples / (1 + self._last**2) ** 0.5 if at_end else samples


def reference_sigmas(model: ModelPatcher, steps: int) -> Tensor:
    """Compute the noise levels of the published sampler.

    Every (1000 // S)th timestep from 1, from the last to the first, then t = 0: the published
    sampler ends at alpha_bar(t=0), not at 1.

    Args:
        model: a model with Stable Diffusion's schedule of 1000 timesteps.
        steps: S.

    Returns:
        S + 1 values sqrt((1 - alpha_bar) / alpha_bar), falling; more where 1000 is no multiple
        of S.

    Raises:
        ScheduleError: if S steps do not fit, or the schedule is another.
    """
    sampling: Any = model.get_model_object("model_sampling")
    sigmas: Tensor = sampling.sigmas
    if len(sigmas) != TIMESTEPS:
        raise ScheduleError(
            f"the model is sampled at {len(sigmas)} timesteps, as 'lcm' in 'ModelSamplingDiscrete' "
            f"does, but the published schedule is of {TIMESTEPS}: take that node away"
        )
    if not 1 <= steps < len(sigmas):
        raise ScheduleError(f"steps is {steps}: the published schedule has 1 to {len(sigmas) - 1}")
    timesteps = range(1, len(sigmas), len(sigmas) // steps)
    return sigmas[[*reversed(timesteps), 0]].cpu()


def sample(
    model: ModelPatcher,
    positive: Conditioning,
    negative: Conditioning,
    luminance: Luminance,
    settings: SamplerSettings,
    last_step: int | None = None,
    after_step: Callable[[int], None] | None = None,
) -> dict[str, Tensor]:
    """Sample as the host's KSampler does; its previews show the photo in color.

    Args:
        model: a luminance-conditioned model, guided or not.
        positive: the encoded description.
        negative: the encoded negative prompt.
        luminance: of the photos to colorize.
        settings: what the host's KSampler takes.
        last_step: end after this step, from 1, noise left as it is; None: go through with it.
        after_step: told the number of every step that is done, from 1.

    Returns:
        A LATENT, one a photo.

    Raises:
        ConditioningError: if model and luminance do not fit.
        MaskError: if the prompt has masks that are not of the photo's shape.
    """
    model = checked(model)
    start = empty_latent(luminance)
    positive, negative = (add_luminance(prompt, luminance) for prompt in (positive, negative))
    latent = start["samples"]
    if settings.denoise < 1:
        latent = _without_color(model, luminance, latent)
    show = _preview(model, luminance)
    progress = comfy.utils.ProgressBar(settings.steps)

    def callback(step: int, x0: Tensor, _x: Tensor, steps: int) -> None:
        if after_step is not None:
            after_step(step + 1)
        progress.update_absolute(step + 1, steps, show(x0))

    samples = comfy.sample.sample(
        model,
        comfy.sample.prepare_noise(latent, settings.seed),
        settings.steps,
        _scale(model, positive, negative, settings.cfg),
        settings.sampler_name,
        settings.scheduler,
        positive,
        negative,
        latent,
        denoise=settings.denoise,
        last_step=last_step,
        callback=callback,
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=settings.seed,
    )
    return {**start, "samples": samples}


def sample_as_published(
    model: ModelPatcher,
    positive: Conditioning,
    negative: Conditioning,
    luminance: Luminance,
    *,
    seed: int,
    steps: int,
    cfg: float,
) -> dict[str, Tensor]:
    """Sample with the published schedule, as `SamplerCustom` does with `LCAD_ReferenceSchedule`.

    Returns:
        A LATENT, one a photo.

    Raises:
        ConditioningError: if model and luminance do not fit.
        ScheduleError: if the schedule has no such number of steps.
    """
    model = checked(model)
    start = empty_latent(luminance)
    latent = start["samples"]
    sigmas = reference_sigmas(model, steps)
    positive, negative = (add_luminance(prompt, luminance) for prompt in (positive, negative))
    samples = comfy.sample.sample_custom(
        model,
        comfy.sample.prepare_noise(latent, seed),
        _scale(model, positive, negative, cfg),
        ReferenceSampler(sigmas),
        sigmas,
        positive,
        negative,
        latent,
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seed,
    )
    return {**start, "samples": samples}


def _scale(
    model: ModelPatcher, positive: Conditioning, negative: Conditioning, cfg: float
) -> float:
    """Choose the guidance scale: 1 where both prompts are the same, as they are without words.

    No scale has anything to amplify there, and at 1 the host computes one of the two, in half the
    time. What a patch of the model's guidance does with both is left to it.
    """
    patched = any(option.startswith("sampler_") for option in model.model_options)
    return cfg if patched or not _same(positive, negative) else 1.0


def _same(one: Conditioning, other: Conditioning) -> bool:
    """Whether two prompts are encoded alike, and carry the same."""
    if len(one) != len(other):
        return False
    pairs = zip(one, other, strict=True)
    return all(
        torch.equal(encoded, also_encoded)
        and values.keys() == others.keys()
        and all(_equal(value, others[key]) for key, value in values.items())
        for (encoded, values), (also_encoded, others) in pairs
    )


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return one is other


def _without_color(model: ModelPatcher, luminance: Luminance, empty: Tensor) -> Tensor:
    """Encode the gray photos where the model knows its VAE: zeros may be a tint to that."""
    latent_format = model.model.latent_format
    if not isinstance(latent_format, FittedLatent):
        return empty
    photos = gray(luminance.geometry.place(luminance.lightness, "bilinear"))
    return latent_format.encode(photos).to(empty)


def _preview(model: ModelPatcher, luminance: Luminance) -> Callable[[Tensor], Any]:
    """Choose what is shown of a step, as the user has set previews: a picture, or nothing."""
    previewer = previewer_of(model)
    if previewer is None:
        return lambda _x0: None
    on_photo = PhotoPreviewer(previewer, luminance)
    return lambda x0: on_photo.decode_latent_to_preview_image("JPEG", x0)
