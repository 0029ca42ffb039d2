"""Small Stable Diffusion models that know nothing of luminance."""

import comfy.model_detection
import torch
from comfy.model_base import BaseModel
from comfy.model_patcher import ModelPatcher

from lcad_nodes.host.loading import LuminanceSD15
from lcad_nodes.model.checkpoint import StateDict

CPU = torch.device("cpu")


def plain_model(unet: StateDict) -> ModelPatcher:
    """Put a small UNet into the host's own class; the host itself detects only the full size."""
    model = BaseModel(LuminanceSD15(comfy.model_detection.detect_unet_config(unet, "")), device=CPU)
    model.load_model_weights(dict(unet))
    return ModelPatcher(model, CPU, CPU)
