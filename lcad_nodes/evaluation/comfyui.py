"""The real ComfyUI inside this process, so that what is measured is what the nodes do."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

import torch

DEFAULT = Path(__file__).parents[2] / ".comfyui"


class ComfyUIError(OSError):
    """There is no ComfyUI where it should be."""


def use_comfyui() -> None:
    """Make ComfyUI's modules importable: on the GPU if there is one, its files in a new folder.

    To be called before anything of `lcad_nodes.host` is imported. ComfyUI is taken from the
    folder in COMFYUI_DIR, or from `.comfyui`, where `quickstart.py setup` puts it.

    Raises:
        ComfyUIError: there is none.
    """
    folder = Path(os.environ.get("COMFYUI_DIR", DEFAULT))
    if not (folder / "comfy").is_dir():
        raise ComfyUIError(
            f"There is no ComfyUI in {folder}: run 'python quickstart.py setup', or name its "
            "folder in COMFYUI_DIR."
        )
    sys.path.append(str(folder))
    from comfy.cli_args import args

    args.cpu = not torch.accelerator.is_available()
    args.base_directory = tempfile.mkdtemp(prefix="lcad-evaluation-")
    atexit.register(shutil.rmtree, args.base_directory, ignore_errors=True)
    import comfy.utils

    comfy.utils.set_progress_bar_enabled(False)
