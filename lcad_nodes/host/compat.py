"""What older hosts lack of the model interface, in one place."""

import comfy.model_patcher
from comfy.model_patcher import ModelPatcher

CoreModelPatcher: type[ModelPatcher] = getattr(
    comfy.model_patcher, "CoreModelPatcher", ModelPatcher
)
"""The host's patcher of choice: with dynamic memory where the host has that."""


def is_dynamic(patcher: ModelPatcher) -> bool:
    """Tell whether the host moves a model's weights one by one as they are needed."""
    return hasattr(patcher, "is_dynamic") and patcher.is_dynamic()
