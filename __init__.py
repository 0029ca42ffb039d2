"""L-CAD for ComfyUI: colorize photos with words. ComfyUI's way into the pack."""

from pathlib import Path

import comfyui_version
from packaging.version import Version

OLDEST_COMFYUI = "0.3.75"


class HostError(RuntimeError):
    """The ComfyUI that loads the pack is too old; the message says which is needed."""


if Version(comfyui_version.__version__) < Version(OLDEST_COMFYUI):  # may lack what is imported next
    raise HostError(
        f"L-CAD needs ComfyUI {OLDEST_COMFYUI} or newer, and this is "
        f"{comfyui_version.__version__}: update ComfyUI"
    )

import folder_paths  # noqa: E402
from comfy_api.latest import ComfyExtension, io  # noqa: E402

WEB_DIRECTORY = "./lcad_nodes/web"  # the page looks below it for docs/<node id>.md
WEIGHTS = Path(__file__).parent / "lcad_nodes" / "weights"


class LCADExtension(ComfyExtension):
    """The pack's nodes, and the folders of its models."""

    async def on_load(self) -> None:
        """List the shipped model beside the user's own, and patches where they are saved."""
        folder_paths.add_model_folder_path("checkpoints", str(WEIGHTS))
        patches = Path(folder_paths.get_output_directory()) / "model_patches"
        folder_paths.add_model_folder_path("model_patches", str(patches))

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """List the nodes."""
        from .lcad_nodes.nodes import INNER, NODES

        return [*NODES, *INNER]


async def comfy_entrypoint() -> LCADExtension:
    """Give ComfyUI the extension."""
    return LCADExtension()
