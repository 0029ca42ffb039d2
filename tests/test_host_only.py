"""The pack beside ComfyUI's own requirements and nothing else: it starts fast, and it runs."""

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent

START = """
import asyncio, json, sys, time
from comfy.cli_args import args
args.cpu, args.base_directory = True, {base!r}

import comfy_config.config_parser  # the host reads every pack's pyproject.toml with it
import folder_paths, nodes, torch

for missing in {refused!r}:
    try:
        __import__(missing)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{{missing}} is there")

before, start = set(sys.modules), time.process_time()
loaded = asyncio.run(nodes.load_custom_node({pack!r}))
report = {{"loaded": loaded, "seconds": time.process_time() - start}}
report["imported"] = sorted(set(sys.modules) - before)
"""
"""What the host does when it starts with the pack."""
SESSION = """
names = "checkpoints", "model_patches"
report["folders"] = {{name: folder_paths.get_folder_paths(name) for name in names}}

folder_paths.add_model_folder_path("checkpoints", {checkpoints!r})

def run(name, **inputs):
    return nodes.NODE_CLASS_MAPPINGS[name].EXECUTE_NORMALIZED(**inputs).args

with torch.inference_mode():
    model, clip, vae, encoder = run("LCAD_LoadCheckpoint", ckpt_name="small.safetensors")
    photo = torch.linspace(0, 1, 80 * 96 * 3).reshape(1, 80, 96, 3)
    luminance, gray = run("LCAD_EncodeLuminance", encoder=encoder, image=photo, resolution=64)
    whole = torch.ones(1, 80, 96)
    positive, instances = run(
        "LCAD_Instances", clip=clip, text="a red car", phrases="", masks={{"mask_0": whole}}
    )
    sampling = dict(seed=1, steps=2, cfg=3.0, sampler_name="euler", scheduler="normal")
    (latent,) = run(
        "LCAD_Sample", model=model, positive=positive, negative=positive, luminance=luminance,
        denoise=1.0, strength=2.0, mode="fast", instances=instances, **sampling,
    )
    (image,) = run(
        "LCAD_Decode", vae=vae, latent=latent, luminance=luminance, lightness="input"
    )
report["shape"] = list(image.shape)
report["colorfulness"] = (image.amax(-1) - image.amin(-1)).mean().item()
print(json.dumps(report))
"""
"""What a user does then."""


def required(requirements: Path) -> Iterator[importlib.metadata.Distribution]:
    """Every installed distribution that a requirements file asks for, directly or not."""
    lines = requirements.read_text().splitlines()
    todo = [(Requirement(line), "") for line in lines if line.strip() and line[0] != "#"]
    seen = set[tuple[str, frozenset[str]]]()
    while todo:
        wanted, extra = todo.pop()
        key = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if key in seen or not (wanted.marker is None or wanted.marker.evaluate({"extra": extra})):
            continue
        seen.add(key)
        distribution = importlib.metadata.distribution(wanted.name)
        yield distribution
        for line in distribution.requires or []:
            todo.extend((Requirement(line), extra) for extra in ("", *wanted.extras))


def link_packages(distributions: Iterator[importlib.metadata.Distribution], folder: Path) -> None:
    """Make a folder of packages that holds links to the files of `distributions` alone."""
    for distribution in distributions:
        tops = {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}
        for top in tops:
            if not (folder / top).exists():
                (folder / top).symlink_to(str(distribution.locate_file(top)))


@pytest.fixture(scope="module")
def session(
    tmp_path_factory: pytest.TempPathFactory, comfyui: Path, small_checkpoint: Path
) -> dict[str, Any]:
    """What came of a start of the host and a photo, with the host's requirements alone."""
    base = tmp_path_factory.mktemp("host-only")
    packages = base / "packages"
    packages.mkdir()
    link_packages(required(comfyui / "requirements.txt"), packages)
    pack = base / "custom_nodes" / "lcad"
    pack.mkdir(parents=True)
    for name in ("__init__.py", "lcad_nodes"):
        (pack / name).symlink_to(ROOT / name)
    values = {"base": str(base), "pack": str(pack), "checkpoints": str(small_checkpoint.parent)}
    refused = ["diffusers", "accelerate", "pytest", "lcad_nodes"]

    def run(code: str) -> str:
        result = subprocess.run(
            # -S: nothing of this environment but the path below
            [sys.executable, "-S", "-c", code.format(refused=refused, **values)],
            cwd=comfyui,
            env=os.environ | {"PYTHONPATH": str(packages)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr[-5000:]
        return result.stdout

    run(START)  # compiles the pack, as it is from a user's second start on
    return json.loads(run(START + SESSION).splitlines()[-1]) | {"base": str(base)}


def test_a_photo_gets_colors(session: dict[str, Any]) -> None:
    assert session["loaded"]
    assert session["shape"] == [1, 80, 96, 3]
    assert session["colorfulness"] > 0.01


def test_nothing_is_imported_before_a_node_runs(session: dict[str, Any]) -> None:
    # The host names a pack's modules after its folder, /.../custom_nodes/lcad.
    others = {name.partition(".")[0] for name in session["imported"] if name[0] != "/"}
    assert others <= sys.stdlib_module_names | {"comfyui_version"}


def test_the_pack_adds_little_to_the_start(session: dict[str, Any]) -> None:
    assert session["seconds"] < 0.3  # of processor time, so that a busy machine does not matter


def test_the_shipped_model_and_saved_patches_are_listed(session: dict[str, Any]) -> None:
    folders = session["folders"]
    assert any(Path(folder, "lcad-mini.safetensors").exists() for folder in folders["checkpoints"])
    assert str(Path(session["base"]) / "output" / "model_patches") in folders["model_patches"]
