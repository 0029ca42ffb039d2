"""Merges of models: the host merges weights of one shape, and scales others without merging."""

from typing import Any

from comfy.model_patcher import ModelPatcher

from .errors import ConditioningError

FIRST_CONVOLUTION = "diffusion_model.input_blocks.0.0.weight"
"""What luminance widens."""


def check_merges(model: ModelPatcher) -> None:
    """Refuse a merge with a model that reads no luminance.

    Of the first convolution, which is of another shape there, the host multiplies the own share
    and says in its log alone that it left the other's out.

    Raises:
        ConditioningError: if there was such a merge; one that came before the luminance did is
            right.
    """
    own = model.model.model_config.unet_config.get("in_channels")
    patches: list[Any] = model.patches.get(FIRST_CONVOLUTION, [])
    for _, value, own_share, *_ in patches:
        if isinstance(value, list):  # another model's weight, with its patches
            if own_share != 1 and value[0][0].shape[1] != own:
                raise ConditioningError(
                    "the model is a merge with one that does not read a photo's luminance: merge "
                    "Stable Diffusion models first, and put 'Apply Patch (L-CAD)' behind"
                )
        elif value[0] == "diff" and len(value[1]) > 1 and value[1][1].get("pad_weight"):
            own = value[1][0].shape[1]
