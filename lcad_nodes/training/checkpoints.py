"""Checkpoint files: read without running anything in them, written whole or not at all."""

import struct
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import is_zipfile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..model.checkpoint import FAMILY, CheckpointParts, LayoutError, StateDict, family, split

UNREADABLE = (
    *(OSError, EOFError, RuntimeError, UnpicklingError, SafetensorError),
    *(ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError),
    struct.error,
)
"""What reading a file of tensors that is broken, or is none, ends with."""


def read_checkpoint(path: Path) -> CheckpointParts:
    """Read a single file's networks; see `read_tensors`.

    Autoencoder and luminance encoder come in single precision, to be compared with others; UNet
    and text encoder, most of a file, as it has them: a network that takes them widens them.

    Raises:
        LayoutError: if the UNet is of another family than Stable Diffusion 1.x.
    """
    tensors = read_tensors(path)
    if (found := family(tensors)) and found != FAMILY:
        raise LayoutError(
            f"{path} is a model of {found}, but L-CAD extends {FAMILY}: start from one of those"
        )
    parts = split(tensors)
    vae, encoder = (
        {k: v.float() if v.is_floating_point() else v for k, v in part.items()}
        for part in (parts.vae, parts.encoder)
    )
    return replace(parts, vae=vae, encoder=encoder)


def read_tensors(path: Path) -> StateDict:
    """Read a single file's tensors: ours, a published one's or Stable Diffusion 1.x's.

    Args:
        path: `.safetensors`, or a `.ckpt` that holds nothing but tensors and plain values.

    Raises:
        LayoutError: if the file cannot be read, or could run code.
    """
    try:
        is_safe = path.suffix.lower() in {".safetensors", ".sft"}
        return load_file(path) if is_safe else _unpickled(path)
    except UnpicklingError as error:
        raise LayoutError(
            f"{path} holds more than tensors and was not loaded, because such a file can run "
            f"code. Convert it to safetensors where you trust it: {error}"
        ) from error
    except UNREADABLE as error:
        raise LayoutError(f"{path} cannot be read as a checkpoint: {error}") from error


class _Leftover:
    """Stands in for what Lightning's files hold beside tensors and plain values."""

    def __init__(self, *_arguments: Any) -> None:
        pass

    def __setstate__(self, _state: Any) -> None:
        pass


LEFTOVERS = (
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "_codecs.encode",
)
"""What the published files of Stable Diffusion 1.x name; nothing of it is run."""


PICKLE = b"\x80"
"""How a pickle begins."""


def _unpickled(path: Path) -> StateDict:
    with path.open("rb") as file:
        begin = file.read(1)
    if begin != PICKLE and not is_zipfile(path):
        raise ValueError("torch.save did not write it")
    with torch.serialization.safe_globals([(_Leftover, name) for name in LEFTOVERS]):
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(content, dict):
        content = content.get("state_dict", content)
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, not tensors by their names")
    return {name: value for name, value in content.items() if isinstance(value, Tensor)}


def save_checkpoint(tensors: StateDict, path: Path, size: int) -> None:
    """Write a checkpoint whole or not at all.

    Args:
        tensors: in the checkpoint's layout.
        path: the `.safetensors` to write; its folder is made.
        size: side of the pictures that it was trained on, in px; loaders read it off the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")  # a state of this name is a folder
    metadata = {"modelspec.resolution": f"{size}x{size}"}
    partial.unlink(missing_ok=True)
    partial.touch()
    usual = partial.stat().st_mode
    save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, partial, metadata)
    partial.chmod(usual)  # safetensors lets nobody else read a file
    partial.replace(path)
