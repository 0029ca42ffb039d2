"""What a luminance-conditioned checkpoint adds to the SD 1.x checkpoint that it was trained from.

Differences, not replacements: added to another model of the family, they leave what that model
has learned in the same blocks. Only the first convolution changes its shape; there the base has
zeros for the channels that it does not read (paper section 3.2).
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import pad

from .checkpoint import StateDict

FIRST_CONVOLUTION = "input_blocks.0.0.weight"
LATENT_CHANNELS = 4
PREFIXES = {"unet": "lcad_patch.unet.", "encoder": "lcad_patch.encoder."}
"""Where a patch file's tensors are: the UNet's differences, and the luminance encoder."""


class PatchError(ValueError):
    """A patch cannot be made or applied; the message says what does not fit."""


def subtract(original: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> StateDict:
    """Compute what a luminance-conditioned UNet adds to its base UNet.

    Args:
        original: the luminance-conditioned UNet's tensors, in Stable Diffusion's names.
        base: the base's, with four input channels.

    Returns:
        Differences by name, float32, of the first convolution and of all that are not the same.

    Raises:
        PatchError: if the two are not one architecture, or the original reads no luminance.
    """
    _check_pair(original, base)
    added = original[FIRST_CONVOLUTION].shape[1] - LATENT_CHANNELS
    widened = pad(base[FIRST_CONVOLUTION], (0, 0, 0, 0, 0, added))
    base = {**base, FIRST_CONVOLUTION: widened}
    return {
        name: ours.float() - base[name].float()
        for name, ours in original.items()
        if name == FIRST_CONVOLUTION or not is_same(ours, base[name])
    }


def is_same(ours: Tensor, theirs: Tensor) -> bool:
    """Tell whether two tensors differ by no more than storing a value in their types changes it.

    Of one type they must be equal. Of two, as of one model published in float32 and in float16,
    neither need be a rounding of the other: both may be of a third.
    """
    if ours.shape != theirs.shape:
        return False
    if ours.dtype == theirs.dtype:
        return ours.equal(theirs)
    distance = (ours.float() - theirs.float()).abs()
    return bool((distance <= _rounding(ours) + _rounding(theirs)).all())


def _rounding(tensor: Tensor) -> Tensor:
    """Bound by how much its type has changed each value when that was stored."""
    if not tensor.is_floating_point():
        return torch.zeros(())
    numbers = torch.finfo(tensor.dtype)
    return tensor.float().abs().clamp(min=numbers.smallest_normal) * (numbers.eps / 2)


def _check_pair(original: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> None:
    for name in (FIRST_CONVOLUTION, *sorted(original.keys() ^ base.keys())):
        if name not in original or name not in base:
            lacking = "base" if name in original else "original"
            raise PatchError(
                f"the {lacking} has no {name}: the base must be the Stable Diffusion 1.x "
                "checkpoint that the original was trained from"
            )
    found, expected = original[FIRST_CONVOLUTION].shape[1], base[FIRST_CONVOLUTION].shape[1]
    if expected != LATENT_CHANNELS or found <= LATENT_CHANNELS:
        raise PatchError(
            f"the original reads {found} input channels and the base {expected}: the original "
            "must be a luminance-conditioned checkpoint, and the base one that reads "
            f"{LATENT_CHANNELS}"
        )
    for name, weight in original.items():
        if name != FIRST_CONVOLUTION and weight.shape != base[name].shape:
            raise PatchError(
                f"{name} is {tuple(weight.shape)} in the original and {tuple(base[name].shape)} in "
                "the base: the two are not of one size"
            )


def to_file(differences: Mapping[str, Tensor], encoder: Mapping[str, Tensor]) -> StateDict:
    """Put a patch's tensors under the names that they have in its file."""
    named = {PREFIXES["unet"] + name: tensor for name, tensor in differences.items()}
    return named | {PREFIXES["encoder"] + name: tensor for name, tensor in encoder.items()}


def from_file(tensors: Mapping[str, Tensor]) -> tuple[StateDict, StateDict]:
    """Take a patch file apart into the UNet's differences and the luminance encoder.

    Raises:
        PatchError: if the file is not a patch.
    """
    differences, encoder = (
        {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        for prefix in (PREFIXES["unet"], PREFIXES["encoder"])
    )
    if FIRST_CONVOLUTION not in differences or not encoder:
        raise PatchError("it is not a patch made by 'Extract Patch (L-CAD)'")
    return differences, encoder
