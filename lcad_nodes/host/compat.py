"""What hosts do differently in the model interface, by age or by memory, in one place."""

import comfy
import comfy.model_patcher
import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

CoreModelPatcher: type[ModelPatcher] = getattr(
    comfy.model_patcher, "CoreModelPatcher", ModelPatcher
)
"""The host's patcher of choice: with dynamic memory where the host has that."""


def is_dynamic(patcher: ModelPatcher) -> bool:
    """Tell whether the host moves a model's weights one by one as they are needed."""
    return hasattr(patcher, "is_dynamic") and patcher.is_dynamic()


def maps_read_only() -> bool:
    """Tell whether the host maps files so that their tensors cannot be written to."""
    memory = getattr(comfy, "memory_management", None)
    return bool(getattr(memory, "aimdo_enabled", False))


def shapes(network: nn.Module) -> dict[str, torch.Size]:
    """Shapes of a network's weights by name, before any are loaded.

    With dynamic memory the host makes a linear layer's weights as it loads them: until then its
    sizes alone tell.
    """
    found = {name: weight.shape for name, weight in network.state_dict().items()}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear) and layer.weight is None:
            found[f"{name}.weight"] = torch.Size((layer.out_features, layer.in_features))
            if getattr(layer, "comfy_need_lazy_init_bias", False):
                found[f"{name}.bias"] = torch.Size((layer.out_features,))
    return found
