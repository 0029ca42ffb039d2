"""Merges of models: the host merges weights of one shape, and scales others without merging."""

from itertools import chain
from typing import Any

from comfy.model_patcher import ModelPatcher

from ..model.patch import FIRST_CONVOLUTION
from .errors import ConditioningError

NETWORK = "diffusion_model."
"""Where the UNet is in the host's model."""
WIDENED = NETWORK + FIRST_CONVOLUTION
"""What luminance widens."""
_REFUSAL = (
    "the model is a merge with one that does not read a photo's luminance: merge Stable Diffusion "
    "models first, and put 'Apply Patch (L-CAD)' behind"
)


def input_channels(model: ModelPatcher) -> int:
    """Count the channels that a model's UNet reads, those that patches have added among them."""
    own = model.model.model_config.unet_config.get("in_channels", 0)
    return max(own, *(_padded(value) for _, value, *_ in model.patches.get(WIDENED, [])), 0)


def check_merges(model: ModelPatcher) -> None:
    """Refuse a merge with a model that reads no luminance.

    Of the first convolution, which is of another shape there, the host multiplies the own share
    and says in its log alone that it left the other's out. Of a hook that brings a model in, it
    adds the difference to the own, whatever their shapes.

    Raises:
        ConditioningError: if there was such a merge; one that came before the luminance did is
            right.
    """
    unpatched = model.model.model_config.unet_config.get("in_channels", 0)
    own = unpatched
    for _, value, own_share, *_ in model.patches.get(WIDENED, []):
        if isinstance(value, list) and own_share != 1 and _width(value) != own:
            raise ConditioningError(_REFUSAL)
        own = max(own, _padded(value))
    hooks = (patches.get(WIDENED, []) for patches in model.hook_patches.values())
    for _, value, *_ in chain.from_iterable(hooks):
        is_model = isinstance(value, tuple) and value[0] == "model_as_lora"
        if is_model and {value[1][0].shape[1], unpatched} != {own}:
            raise ConditioningError(_REFUSAL)


def _width(weight: list[Any]) -> int:
    """Input channels of another model's weight, which comes with its patches."""
    (tensor, _), *patches = weight
    return max(tensor.shape[1], *(_padded(value) for _, value, *_ in patches), 0)


def _padded(value: Any) -> int:
    """Input channels that a patch widens a weight to; 0 where it does not."""
    if isinstance(value, tuple) and len(value) == 2 and value[0] == "diff":
        difference, *options = value[1]
        if options and options[0].get("pad_weight"):
            return difference.shape[1]
    return 0
