"""Files of tensors: read without running anything in them, and told apart from other files."""

import errno
import pickletools
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import is_zipfile

import comfy.utils
import folder_paths
import torch
from torch import Tensor

from ..model.checkpoint import FAMILY, StateDict, family, is_lora

SAFETENSORS = (".safetensors", ".sft")
"""What the host reads as safetensors; every other file is a pickle to it."""
IMPORTS = frozenset({"GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"})
"""Opcodes with which a pickle takes functions and classes from Python's modules."""


class CheckpointError(ValueError):
    """A file is not the checkpoint that was asked for; the message says what it is or lacks."""


def read_tensors(path: str) -> StateDict:
    """Map a file's tensors; nothing in the file is run.

    Raises:
        CheckpointError: if the file cannot be read, holds no tensors, or more than tensors.
    """
    try:
        found: Any = comfy.utils.load_torch_file(path, safe_load=True)
    except Exception as error:  # a broken file breaks the host's readers anywhere
        raise CheckpointError(f"{Path(path).name} {_fault(Path(path), error)}") from error
    named = found.items() if isinstance(found, Mapping) else ()
    tensors = {k: v for k, v in named if isinstance(k, str) and torch.is_tensor(v)}
    if not tensors:
        raise CheckpointError(f"{Path(path).name} is not a checkpoint: it holds no named tensors")
    return tensors


def file_state(folder: str, name: object) -> tuple[int, int] | None:
    """Tell a file from one that takes its place under its own name.

    Args:
        folder: the host's name for the folder.
        name: the file's; no text where a link is to give it.

    Returns:
        When it was last changed, in ns, and its size in bytes; None where there is none: running
        a node says so.
    """
    path = folder_paths.get_full_path(folder, name) if isinstance(name, str) else None
    if path is None:
        return None
    state = Path(path).stat()
    return state.st_mtime_ns, state.st_size


def check_family(tensors: Mapping[str, Tensor], name: str) -> None:
    """Refuse a LoRA, and a UNet of another family than Stable Diffusion 1.x.

    Args:
        tensors: a file's tensors, or a UNet's.
        name: the file's, for the message.

    Raises:
        CheckpointError: if it is one of them.
    """
    found = family(tensors)
    if is_lora(tensors):
        raise CheckpointError(
            f"{name} is a LoRA{found and f' for {found}'}, not a checkpoint: put it onto a loaded "
            f"model with 'Load LoRA'{found and f', if that is {found} too'}"
        )
    if found and found != FAMILY:
        raise CheckpointError(
            f"{name} is a model of {found}, but L-CAD extends {FAMILY}: choose "
            "lcad-mini.safetensors or a published L-CAD checkpoint"
        )


def _fault(path: Path, error: Exception) -> str:
    """Say why a file could not be read, after its name."""
    if not path.is_file():
        return "is not there any more, or is not a file: press R to list the files anew"
    if isinstance(error, MemoryError) or "not enough memory" in str(error):
        return "does not fit into memory: close other programs, or use a .safetensors file"
    # Torch seeks to before the beginning of some files that are cut short.
    if isinstance(error, OSError) and error.errno != errno.EINVAL:
        return f"cannot be read: {error}"
    with path.open("rb") as file:
        head = file.read(9)
    is_safetensors, is_pickle = head[8:] == b"{", head.startswith((b"PK", b"\x80"))
    if path.suffix.lower() in SAFETENSORS and is_pickle:
        return "is not a safetensors file: give it the ending .ckpt"
    if path.suffix.lower() not in SAFETENSORS and is_safetensors:
        return "is a safetensors file: give it the ending .safetensors"
    if isinstance(error, UnpicklingError) and _imports(path):
        return (
            "holds more than tensors and was not loaded, because such a file can run code: get it "
            "as .safetensors, or from another source"
        )
    reason = str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__
    is_cut = is_safetensors or (is_pickle and not is_zipfile(path)) or len(head) < 9
    if is_cut and not isinstance(error, UnpicklingError):
        return (
            "cannot be read; it may be incomplete: download it again, and compare its size with "
            f"the source's ({reason})"
        )
    return f"is not a checkpoint ({reason})"


def _imports(path: Path) -> bool:
    """Tell whether a pickle asks for functions or classes, without running it.

    One that cannot be read to its end is judged by what could be read of it.
    """
    if is_zipfile(path):  # torch's own format; its reader has found the pickle in it
        return True
    with path.open("rb") as file:
        try:
            while not any(operation.name in IMPORTS for operation, *_ in pickletools.genops(file)):
                pass  # older files hold several pickles, one after the other
        except (ValueError, IndexError, KeyError, MemoryError, OverflowError):  # any length
            return False
    return True
