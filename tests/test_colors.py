"""lcad-mini through the real server: what is asked for is what comes out."""

from pathlib import Path
from typing import Any

import pytest
from comfyui_server import Server, saved
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

import lcad_nodes
from lcad_nodes.color.lab import lightness, rgb_to_lab
from lcad_nodes.color.names import TERMS, terms_at

PICTURES = Path(__file__).parent / "pictures"
PHOTO = "owl"
OBJECTS = sorted(
    path.stem
    for path in PICTURES.glob("*.png")
    if not path.stem.endswith(".mask") and path.stem != PHOTO
)

pytestmark = pytest.mark.slow


def colorize(server: Server, name: str, text: str) -> Tensor:
    """Colorize one of the pictures at the size that suits lcad-mini: 1x3xHxW in [0, 1]."""
    inputs: dict[str, Any] = {
        "checkpoint": "lcad-mini.safetensors",
        "image": ["photo", 0],
        "text": text,
        "seed": 1,
        "steps": 20,
        "cfg": 6.0,
        "resolution": 128,
    }
    workflow: dict[str, Any] = {
        "photo": {"class_type": "LoadImage", "inputs": {"image": f"{name}.png"}},
        "colorize": {"class_type": "LCAD_Colorize", "inputs": inputs},
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["colorize", 0], "filename_prefix": name},
        },
    }
    return server.picture(saved(server.run(workflow)))


def read(file: str) -> Tensor:
    return pil_to_tensor(Image.open(PICTURES / file).convert("RGB"))[None] / 255


@pytest.mark.parametrize("name", [*OBJECTS, PHOTO])
def test_an_object_comes_out_nearer_to_the_color_named(server: Server, name: str) -> None:
    photo, inside = read(f"{name}.png"), read(f"{name}.mask.png")[0, 0] > 0.5
    asked = ("red", "blue")
    pictures = {t: colorize(server, name, f"a {t} {name.replace('_', ' ')}") for t in asked}
    for term, picture in pictures.items():
        mean = rgb_to_lab(picture)[0][:, inside].mean(dim=1)
        (colors,) = terms_at(mean[:1])
        distance = {t: float((colors[TERMS.index(t)] - mean[1:]).norm()) for t in asked}
        assert min(distance, key=distance.__getitem__) == term, distance
        assert (lightness(picture) - lightness(photo)).abs().mean() < 0.5
    assert (pictures["red"] - pictures["blue"]).abs().mean() > 0.02


def test_the_shipped_model_is_small() -> None:
    weights = Path(lcad_nodes.__path__[0]) / "weights" / "lcad-mini.safetensors"
    assert weights.stat().st_size <= 60_000_000
