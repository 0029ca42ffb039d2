"""Luminance into the host's conditioning: extra input channels beside the noisy latent."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any

import comfy.model_management as management
import node_helpers
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from comfy.utils import repeat_to_batch_size
from torch import Tensor

from ..model.geometry import LATENT_PIXEL, Geometry
from ..model.luminance import is_luminance
from ..model.patch import LATENT_CHANNELS
from .errors import ConditioningError
from .hints import GEOMETRY_KEY, hints_placed
from .luminance import Luminance
from .merges import check_merges, input_channels
from .origin import ORIGIN_KEY, origin_of

Conditioning = Sequence[Any]
INSTANCES_KEY = "lcad_instances"
"""Where a conditioning carries the instances of its prompt."""
DIGESTS_KEY = "lcad_digests"
"""Where a conditioning and a latent carry the digests of the photos that they are for."""


def add_luminance(conditioning: Conditioning, luminance: Luminance) -> Conditioning:
    """Give a prompt the photo's luminance: the UNet's input is cat([z_t, luminance[9]]).

    Positive and negative get the same (paper section 3.2).

    Raises:
        MaskError: if the prompt has instances whose masks are not of the photo's shape.
    """
    for _, values in conditioning:
        if INSTANCES_KEY in values:
            values[INSTANCES_KEY].check_size(luminance.geometry.original)
    values = {
        "noise_concat": luminance.features[-1],
        GEOMETRY_KEY: luminance.geometry,
        ORIGIN_KEY: luminance.origin,
        DIGESTS_KEY: luminance.digests,
    }
    return node_helpers.conditioning_set_values(conditioning, values)


def empty_latent(luminance: Luminance) -> dict[str, Any]:
    """Make the latent to start from: zeros, Bx4xhxw, one a photo; it knows its photos."""
    size = (luminance.photos, 4, *luminance.geometry.latent)
    samples = torch.zeros(size, device=management.intermediate_device())
    return {"samples": samples, DIGESTS_KEY: luminance.digests}


def extra_channels(model: ModelPatcher) -> int:
    """Count the channels of luminance that a model's UNet reads beside the latent's four.

    Raises:
        ConditioningError: if it reads none.
    """
    channels = input_channels(model) - LATENT_CHANNELS
    if "context_dim" not in model.model.model_config.unet_config or not is_luminance(channels):
        raise ConditioningError(
            "the model does not read a photo's luminance: load one that does with 'Load "
            "Checkpoint (L-CAD)' or 'Load UNet (L-CAD)', or teach it to with 'Apply Patch (L-CAD)'"
        )
    return channels


def _check_inputs(cond: Mapping[str, Any], model: ModelPatcher, latent: Tensor) -> None:
    """Compare a prompt's values, as the host's guiders have them, with the model and the latent."""
    luminance: Tensor | None = cond.get("noise_concat")
    channels = extra_channels(model)
    if luminance is None:
        raise ConditioningError(
            "this model reads the photo's luminance, but the conditioning carries none: put "
            "'Add Photo to Prompts (L-CAD)' between the prompts and the sampler, for positive and "
            "negative"
        )
    _check_luminance(luminance, channels, latent)
    width = model.model.model_config.unet_config["context_dim"]
    _check_prompt(cond["cross_attn"], width, len(luminance), len(latent))
    found, expected = cond.get(ORIGIN_KEY), origin_of(model)
    if found is not None and found.differs(expected):
        raise ConditioningError(
            f"the photo was encoded with the encoder of {found.file}, but the model of "
            f"{expected and expected.file} was trained with another: encode the photo with the "
            "encoder of the model's checkpoint"
        )


def _check_luminance(luminance: Tensor, channels: int, latent: Tensor) -> None:
    if luminance.shape[1] != channels:
        raise ConditioningError(
            f"the model reads {channels} channels of luminance, but the luminance has "
            f"{luminance.shape[1]}: encode the photo with the encoder of the model's checkpoint"
        )
    if luminance.shape[2:] != latent.shape[2:]:
        raise ConditioningError(
            f"the latent is {_size(latent)} (height x width), but the luminance is "
            f"{_size(luminance)}: use the latent that 'Add Photo to Prompts (L-CAD)' "
            "gives for this photo"
        )
    if latent.shape[0] % luminance.shape[0]:
        raise ConditioningError(
            f"{latent.shape[0]} latents cannot be shared out among {luminance.shape[0]} photos"
        )


def _check_prompt(context: Tensor, width: int, photos: int, latents: int) -> None:
    """Refuse what the model cannot read, and what the host would repeat or cut."""
    if context.shape[2] != width:
        raise ConditioningError(
            f"the prompt's encoding is {context.shape[2]} wide, but the model reads {width}: use "
            "the text encoder of the model's checkpoint, or of its base model"
        )
    if context.shape[0] not in {1, photos, latents}:
        raise ConditioningError(
            f"there are {context.shape[0]} prompts in one batch for {photos} photo(s) and "
            f"{latents} latent(s): use one prompt for all, or one for each"
        )


def sample_one_photo(model: ModelPatcher) -> None:
    """Have ControlNet's hints lie on the photo, and prompts and merges that do not fit refused.

    That holds whatever samples it, and for its clones. Done again, it changes nothing.
    """
    if not model.get_wrappers(WrappersMP.OUTER_SAMPLE, DIGESTS_KEY):
        model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, DIGESTS_KEY, _sample_one_photo)


def checked(model: ModelPatcher) -> ModelPatcher:
    """Clone a model, with the checks that those of the host's own loaders lack.

    Raises:
        ConditioningError: if it reads no luminance.
    """
    extra_channels(model)
    clone = model.clone()
    sample_one_photo(clone)
    return clone


def _sample_one_photo(
    executor: WrapperExecutor,
    noise: Tensor,
    latent_image: Tensor,
    sampler: Any,
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    """Wrap the host's sampling."""
    guider: Any = executor.class_obj
    conds = list(chain.from_iterable(guider.conds.values()))
    photos = {(cond[DIGESTS_KEY], cond[GEOMETRY_KEY]) for cond in conds if DIGESTS_KEY in cond}
    batch_size = getattr(sampler, "batch_size", None)
    if batch_size is not None:  # the sampler of the host's training
        _check_training(photos, batch_size)
    elif len(photos) > 1:
        raise ConditioningError(
            "the prompts carry the luminance of different photos, or of different working sizes: "
            "put positive and negative through one 'Add Photo to Prompts (L-CAD)'"
        )
    other = getattr(guider, "uncond_model_patcher", None)  # of a guider of two models

    @cache  # once for all prompts; the host itself would move it for every step
    def for_each_latent(luminance: Tensor, device: torch.device) -> Tensor:
        return repeat_to_batch_size(luminance.to(device), len(noise))

    for name, prompts in guider.conds.items():
        model = other if name == "negative" and other is not None else guider.model_patcher
        check_merges(model)
        for cond in prompts:
            _check_inputs(cond, model, noise)
            _check_area(cond.get("area"), cond.get(GEOMETRY_KEY))
            if batch_size is None:  # training has many photos, of which it takes one at a time
                # As many as the latents: the host's context windows cut nothing else.
                cond["noise_concat"] = for_each_latent(cond["noise_concat"], model.load_device)
                cond["cross_attn"] = repeat_to_batch_size(cond["cross_attn"], len(noise))
    with hints_placed(conds):
        return executor(noise, latent_image, sampler, *args, **kwargs)


def _check_training(photos: Collection[tuple[Sequence[int], Geometry]], batch_size: int) -> None:
    """Hold training to one photo at a time, a prompt for each.

    The host takes the first of a prompt's photos alone, and gives every latent of a batch the mean
    of all the batch's prompts.
    """
    if any(len(digests) > 1 for digests, _ in photos):
        raise ConditioningError(
            "training needs one prompt for each photo, but a prompt is for several: give 'Encode "
            "Photo (L-CAD)' the photos as a list, not as a batch"
        )
    if len(photos) > 1 and batch_size > 1:
        raise ConditioningError(
            f"batch_size is {batch_size}, but the photos of a batch would be mixed in training: "
            "set it to 1, and grad_accumulation_steps to what it was"
        )


def _check_area(area: Sequence[Any] | None, geometry: Geometry | None) -> None:
    """Refuse an area meant for another size: more than half beyond the latent, or all over it.

    The host cuts areas off at the latent's end, which is right for what goes a little beyond.

    Args:
        area: the host's: height, width, top and left in latent pixels, or shares of the picture.
        geometry: how the photo lies in the latent.
    """
    if area is None or geometry is None or not isinstance(area[0], int):
        return
    height, width, top, left = area
    rows, columns = geometry.latent
    sides = ((top, height, rows), (left, width, columns))
    beyond = [start and 2 * (whole - start) < length for start, length, whole in sides]
    covering = [not start and length > whole for start, length, whole in sides]
    if any(beyond) or all(covering):
        x, y, w, h = (LATENT_PIXEL * n for n in (left, top, width, height))
        raise ConditioningError(
            f"a prompt is for an area of {w} x {h} px (width x height) at {x}, {y}, but colors are "
            f"made at {LATENT_PIXEL * columns} x {LATENT_PIXEL * rows} px, whatever the photo's "
            "size: use 'Conditioning (Set Area with Percentage)', or a mask"
        )


def _size(tensor: Tensor) -> str:
    return f"{tensor.shape[2]} x {tensor.shape[3]}"
