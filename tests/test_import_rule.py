"""Which room may import which, as CONTRIBUTING.md has it."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

COMFYUI = {
    *("comfy", "comfy_api", "comfy_config", "comfy_execution", "comfy_extras", "comfyui_version"),
    *("app", "execution", "folder_paths", "latent_preview", "node_helpers", "nodes", "server"),
}
NODE_INTERFACE = {"comfy_api", "comfy_execution.graph_utils", "folder_paths"}
PICTURES = {"numpy", "PIL"}
TORCH = {*PICTURES, "torch", "torchvision"}
TRAINING = {
    *(*TORCH, "accelerate", "diffusers", "filelock", "lpips", "safetensors", "tomli"),
    *("torch_fidelity", "torchmetrics", "tqdm", "transformers", "webdataset"),
}

# A name with a dot in front is a room. Python's own modules are free for all, and nothing else is.
MAY_IMPORT = {
    "nodes": {".host", ".model", ".color", *NODE_INTERFACE, *TORCH, "kornia"},
    "host": {".model", ".color", *COMFYUI, *TORCH, "safetensors"},
    "model": {"torch"},
    "color": {"torch", "kornia"},
    "files": PICTURES,
    "scenes": {".color", ".files", *TORCH, "kornia", "mitsuba", "trimesh"},
    "training": {".model", ".color", ".files", ".scenes", *TRAINING},
    "evaluation": {".model", ".color", ".files", ".scenes", *TRAINING},
    "client": {".files", *PICTURES, "aiohttp", "tqdm"},
}
# What measures the pack in use may use it.
MEASURES_THE_HOST = {"evaluation/colorizer.py": {".host"}, "evaluation/comfyui.py": {"comfy"}}
# ComfyUI loads the pack under the name of its folder, where lcad_nodes is not a top-level name.
LOADED_BY_COMFYUI = {"nodes", "host", "model", "color"}


def imported(file: Path, package: Path) -> Iterator[str]:
    """Every module or name that a file imports, those of the package with a dot in front."""
    here = file.relative_to(package).with_suffix("").parts
    for statement in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            if statement.level == 0:
                start = f"{statement.module}"
            elif statement.level > len(here):
                start = "out of the package"
            else:
                parts = [*here[: -statement.level], *filter(None, [statement.module])]
                start = "." + ".".join(parts)
            yield from (f"{start.removesuffix('.')}.{alias.name}" for alias in statement.names)


def is_allowed(name: str, file: str) -> bool:
    """Whether a file, as `room/name.py`, may import `name`."""
    room = file.partition("/")[0]
    top, _, inner = name.partition(".")
    if top == "out of the package" or (top == "lcad_nodes" and room in LOADED_BY_COMFYUI):
        return False
    if top == "lcad_nodes":
        name, top = f".{inner}", ""
    if top in sys.stdlib_module_names:
        return True
    allowed = {f".{room}", *MAY_IMPORT[room], *MEASURES_THE_HOST.get(file, ())}
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in allowed)


def violations(package: Path) -> list[str]:
    """`room/file.py: name` for every import that the rule forbids."""
    return [
        f"{file.relative_to(package).as_posix()}: {name}"
        for file in sorted(package.glob("*/**/*.py"))
        for name in imported(file, package)
        if not is_allowed(name, file.relative_to(package).as_posix())
    ]


def test_every_room_has_its_rule() -> None:
    assert {file.parent.name for file in ROOT.glob("lcad_nodes/*/*.py")} == set(MAY_IMPORT)


def test_rooms_import_only_what_they_may() -> None:
    assert violations(ROOT / "lcad_nodes") == []


@pytest.mark.parametrize(
    ("file", "line", "name"),
    [
        ("model/a.py", "import comfy.utils", "comfy.utils"),
        ("model/a.py", "from comfy import sd", "comfy.sd"),
        ("model/a.py", "from ..color import lab", ".color.lab"),
        ("model/inner/a.py", "from ...color.lab import lightness", ".color.lab.lightness"),
        ("color/__init__.py", "from ..host import memory", ".host.memory"),
        ("color/a.py", "def f():\n    from diffusers import UNet2DModel", "diffusers.UNet2DModel"),
        ("host/a.py", "from .. import nodes", ".nodes"),
        ("host/a.py", "from lcad_nodes.model import checkpoint", "lcad_nodes.model.checkpoint"),
        ("nodes/a.py", "from comfy import model_management", "comfy.model_management"),
        ("nodes/a.py", "import comfy_execution.graph", "comfy_execution.graph"),
        ("nodes/a.py", "from ..training import networks", ".training.networks"),
        ("nodes/a.py", "from ..evaluation import metrics", ".evaluation.metrics"),
        ("color/a.py", "import torchmetrics", "torchmetrics"),
        ("color/a.py", "from torchvision import io", "torchvision.io"),
        ("model/a.py", "import kornia", "kornia"),
        ("model/a.py", "def f():\n    import lpips", "lpips"),
        ("files/a.py", "import torch", "torch"),
        ("client/a.py", "from torch import Tensor", "torch.Tensor"),
        ("nodes/a.py", "import lpips", "lpips"),
        ("nodes/a.py", "from ...quickstart import run", "out of the package.run"),
        ("training/a.py", "from ..evaluation import metrics", ".evaluation.metrics"),
        ("training/a.py", "import lcad_nodes.host.loading", "lcad_nodes.host.loading"),
        ("evaluation/a.py", "from folder_paths import models_dir", "folder_paths.models_dir"),
        ("scenes/a.py", "from ..evaluation import metrics", ".evaluation.metrics"),
        ("scenes/a.py", "from ..host import loading", ".host.loading"),
        ("client/a.py", "from ..color import lab", ".color.lab"),
        ("evaluation/colorizer.py", "from ..nodes import load", ".nodes.load"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, file: str, line: str, name: str) -> None:
    planted = tmp_path / file
    planted.parent.mkdir(parents=True)
    planted.write_text(f"import json\n{line}\n")
    assert violations(tmp_path) == [f"{file}: {name}"]


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("nodes/a.py", "from comfy_api.latest import io"),
        ("nodes/a.py", "from comfy_execution.graph_utils import GraphBuilder"),
        ("nodes/a.py", "from ..host import loading"),
        ("host/a.py", "import comfy.sd, torchvision"),
        ("host/a.py", "from ..model.checkpoint import split"),
        ("model/a.py", "from . import checkpoint"),
        ("training/a.py", "from .. import scenes"),
        ("training/a.py", "from ..scenes.builder import Scene"),
        ("evaluation/a.py", "from lcad_nodes.color.lab import lightness"),
        ("evaluation/colorizer.py", "from ..host.loading import load_checkpoint"),
    ],
)
def test_an_allowed_import_is_not_reported(tmp_path: Path, file: str, line: str) -> None:
    planted = tmp_path / file
    planted.parent.mkdir(parents=True)
    planted.write_text(f"{line}\n")
    assert violations(tmp_path) == []


def test_quickstart_imports_the_standard_library_only() -> None:
    own = {
        f"lcad_nodes.{name}" for name in ("client.arguments", "client.workflow", "files.formats")
    }
    before_setup = [ROOT / f"{name.replace('.', '/')}.py" for name in own]
    files = [ROOT / "quickstart.py", *before_setup]
    every = {name for file in files for name in imported(file, ROOT)}
    others = {name for name in every if name.removeprefix(".").rpartition(".")[0] not in own}
    assert {name.partition(".")[0] for name in others} <= sys.stdlib_module_names
