"""Luminance for any SD 1.x model: a checkpoint's own additions as the host's weight patches."""

import logging
from pathlib import Path

import comfy.utils
import folder_paths
from comfy.model_patcher import ModelPatcher

from ..model.checkpoint import CheckpointParts, StateDict, split
from ..model.patch import (
    FIRST_CONVOLUTION,
    LATENT_CHANNELS,
    PatchError,
    from_file,
    is_same,
    subtract,
    to_file,
)
from .conditioning import sample_one_photo
from .files import check_family, read_tensors
from .loading import RESOLUTION_METADATA, build_encoder, trained_at
from .luminance import TRAINED_AT
from .merges import NETWORK, WIDENED, input_channels
from .origin import origin_of, set_origin

FOLDER = "model_patches"
"""The host's name for the folder of such files."""

logger = logging.getLogger(__name__)


def extract_patch(original: str, base: str, filename_prefix: str) -> Path:
    """Write what a luminance-conditioned checkpoint adds to its base into the output folder.

    Args:
        original: path of the luminance-conditioned checkpoint.
        base: path of the SD 1.x checkpoint that it was trained from.
        filename_prefix: folder and beginning of the name, as in the host's own save nodes.

    Returns:
        The file's path.

    Raises:
        CheckpointError: if a file cannot be read.
        PatchError: if the two do not go together.
    """
    ours, theirs = (split(_checkpoint(path)) for path in (original, base))
    if not ours.encoder:
        raise PatchError(f"{Path(original).name} holds no luminance encoder")
    tensors = to_file(subtract(ours.unet, theirs.unet), ours.encoder)
    _name_what_is_left_out(ours, theirs)
    output = folder_paths.get_output_directory()
    folder, name, counter, *_ = folder_paths.get_save_image_path(filename_prefix, output)
    path = Path(folder) / f"{name}_{counter:05}_.safetensors"
    sides = trained_at(original)
    metadata = {RESOLUTION_METADATA: f"{sides[0]}x{sides[1]}"} if sides else None
    comfy.utils.save_torch_file(tensors, str(path), metadata=metadata)
    logger.info("the patch is in %s", path)
    return path


def _checkpoint(path: str) -> StateDict:
    tensors = read_tensors(path)
    check_family(tensors, Path(path).name)
    return tensors


def _name_what_is_left_out(original: CheckpointParts, base: CheckpointParts) -> None:
    for part, ours, theirs in (
        ("VAE", original.vae, base.vae),
        ("text encoder", original.text, base.text),
    ):
        pairs = ((weight, theirs.get(name)) for name, weight in ours.items())
        if not all(other is not None and is_same(weight, other) for weight, other in pairs):
            logger.warning(
                "the original's %s is not the base's, and a patch does not hold it: use the "
                "original's own with a patched model",
                part,
            )


def apply_patch(
    model: ModelPatcher, path: str, strength: float
) -> tuple[ModelPatcher, ModelPatcher]:
    """Make an SD 1.x model luminance-conditioned; the model itself stays as it is.

    Args:
        model: any SD 1.x model, with LoRAs or other patches or without.
        path: a file that `extract_patch` has written.
        strength: factor of the differences; at 0 the model's output stays what it was.

    Returns:
        The luminance-conditioned model, and the luminance encoder.

    Raises:
        CheckpointError: if the file cannot be read.
        PatchError: if it is not a patch, or does not fit the model.
    """
    name = Path(path).name
    try:
        differences, encoder = from_file(read_tensors(path))
        _check_fit(model, differences)
    except PatchError as error:
        raise PatchError(f"{name}: {error}") from error
    patched = model.clone()
    # The host makes room in a weight that is smaller than a difference where it says so.
    patched.add_patches(
        {
            NETWORK + key: ("diff", (value, {"pad_weight": True}))
            for key, value in differences.items()
        },
        strength,
    )
    patcher = build_encoder(encoder, name)
    patcher.set_attachments(TRAINED_AT, trained_at(path))
    set_origin(patched, origin_of(patcher))
    sample_one_photo(patched)
    return patched, patcher


def _check_fit(model: ModelPatcher, differences: StateDict) -> None:
    """Compare the differences with the model's own weights, without any patch on them."""
    own = {key: patches[0][0].shape for key, patches in model.get_key_patches(NETWORK).items()}
    if WIDENED not in own or input_channels(model) != LATENT_CHANNELS:
        raise PatchError(
            "the model must be a Stable Diffusion 1.x model that does not read luminance yet, nor "
            "anything else beside the latent (as inpainting models do)"
        )
    for name, difference in differences.items():
        expected = difference.shape
        if name == FIRST_CONVOLUTION:
            expected = (expected[0], LATENT_CHANNELS, *expected[2:])
        if own.get(NETWORK + name) != expected:
            raise PatchError(
                f"the patch changes {name}, {tuple(expected)}, but the model has "
                f"{own.get(NETWORK + name, 'none')}: it must be a Stable Diffusion 1.x model of "
                "the size that the patch was made from"
            )
