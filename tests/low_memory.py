"""A processor that the host treats as a device with hardly any memory of its own."""

from typing import Any

import comfy.model_management as management
import pytest

FEW = 8 * 1024**2
"""Bytes of memory in which no network fits but a part of each does."""


def use_low_memory(monkeypatch: pytest.MonkeyPatch, state: management.VRAMState) -> None:
    """Start as with --lowvram or --novram, which have no effect on a processor."""
    management.unload_all_models()
    monkeypatch.setattr(management, "vram_state", state)
    monkeypatch.setattr(management, "is_device_cpu", lambda _device: False)
    monkeypatch.setattr(management, "get_free_memory", _free_memory)


def _free_memory(_device: Any = None, torch_free_too: bool = False) -> Any:
    return (FEW, FEW) if torch_free_too else FEW
