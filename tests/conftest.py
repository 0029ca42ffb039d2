"""Where the tests find the real host, and the golden network that they hold it against."""

import json
import os
import sys
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden"
COMFYUI = Path(os.environ.get("COMFYUI_DIR", ROOT / ".comfyui"))


def pytest_configure() -> None:
    """Put the host on the path, on the CPU, with its files in a folder of their own."""
    sys.path.append(str(COMFYUI))
    from comfy.cli_args import args

    args.cpu = True
    args.base_directory = tempfile.mkdtemp(prefix="lcad-tests-")


@dataclass(frozen=True)
class Golden:
    """Inputs and outputs of a small network, computed with the published implementation."""

    tensors: dict[str, Tensor]
    settings: dict[str, Any]
    checkpoint: Path


def golden_state_dict(seed: int) -> dict[str, Tensor]:
    """Rebuild the golden checkpoint: every weight is drawn from its own name."""
    shapes = json.loads((GOLDEN / "tiny.keys.json").read_text())
    return {name: _weight(seed, name, shape) for name, shape in shapes.items()}


def _weight(seed: int, name: str, shape: list[int]) -> Tensor:
    generator = np.random.RandomState(zlib.crc32(f"{seed}:{name}".encode()))
    weight = generator.standard_normal(shape).astype(np.float32)
    if len(shape) >= 2:
        weight /= np.sqrt(weight[0].size)
    elif name.endswith("weight"):
        weight = 1 + 0.1 * weight
    else:
        weight = 0.1 * weight
    return torch.from_numpy(np.asarray(weight, dtype=np.float32))


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Golden:
    """The golden tensors, and the checkpoint that they belong to as a file."""
    settings = json.loads((GOLDEN / "tiny.json").read_text())
    checkpoint = tmp_path_factory.mktemp("golden") / "tiny.safetensors"
    save_file(golden_state_dict(settings["seed"]), checkpoint)
    return Golden(load_file(GOLDEN / "tiny.safetensors"), settings, checkpoint)


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Relative L2 error of `found`."""
    difference = found.double() - expected.double()
    return float(difference.norm() / expected.double().norm())
