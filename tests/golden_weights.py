"""The golden network: inputs, outputs and weights, computed with the published implementation."""

import json
import zlib
from dataclasses import dataclass
from functools import cache
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
    """Rebuild the golden checkpoint, which has no text encoder."""
    return _copied(_golden(seed))


def text_encoder_state_dict(seed: int, width: int, layers: int) -> dict[str, Tensor]:
    """Make a CLIP text encoder for the golden checkpoint, by the same rule."""
    return _copied(_text_encoder(seed, width, layers))


def _copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a test may change: drawn once, since many tests have the same networks."""
    return {name: tensor.clone() for name, tensor in tensors.items()}


@cache
def _golden(seed: int) -> dict[str, Tensor]:
    shapes = json.loads((GOLDEN / "tiny.keys.json").read_text())
    return weights_by_name(seed, shapes)


@cache
def _text_encoder(seed: int, width: int, layers: int) -> dict[str, Tensor]:
    return weights_by_name(seed, text_encoder_shapes(width, layers))


def text_encoder_shapes(width: int, layers: int) -> dict[str, list[int]]:
    """Name a CLIP text encoder's tensors as checkpoints do, with their shapes."""
    model = "cond_stage_model.transformer.text_model"
    shapes = {
        f"{model}.embeddings.token_embedding.weight": [49408, width],
        f"{model}.embeddings.position_embedding.weight": [77, width],
    }
    linear = {f"self_attn.{name}_proj": (width, width) for name in ("q", "k", "v", "out")}
    linear |= {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
    norms = [f"{model}.final_layer_norm"]
    for layer in range(layers):
        prefix = f"{model}.encoder.layers.{layer}"
        norms += [f"{prefix}.layer_norm1", f"{prefix}.layer_norm2"]
        for name, shape in linear.items():
            shapes[f"{prefix}.{name}.weight"] = list(shape)
            shapes[f"{prefix}.{name}.bias"] = [shape[0]]
    for name in norms:
        shapes |= {f"{name}.weight": [width], f"{name}.bias": [width]}
    return shapes


def weights_by_name(seed: int, shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """Draw every weight from its own name, so that any machine has the same."""
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
