"""The golden network: inputs, outputs and weights, computed with the published implementation."""

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden"


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


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Relative L2 error of `found`."""
    difference = found.double() - expected.double()
    return float(difference.norm() / expected.double().norm())
