"""VGG 16's convolutions as a file, in place of the trained ones that LPIPS is built on."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torchvision.models import vgg16


def write_vgg16(path: Path) -> None:
    """Write random weights, `.pth` or `.safetensors`; LPIPS reads no others of the network."""
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in vgg16().features.state_dict(prefix="features.").items()}
    tensors = {name: 0.05 * torch.randn(shape) for name, shape in shapes.items()}
    if path.suffix == ".pth":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
