"""Checkpoint files: every kind is read, and none runs anything."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from lcad_nodes.model.checkpoint import LayoutError
from lcad_nodes.training.checkpoints import read_checkpoint, save_checkpoint


def test_a_checkpoint_that_could_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"state_dict": {}, "callbacks": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(LayoutError, match="can run code"):
        read_checkpoint(tmp_path / "evil.ckpt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_half_precision_and_lightning_files_are_read(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning's files also hold a class of its own and numbers of NumPy's."""
    name = "pytorch_lightning.callbacks.model_checkpoint"
    module: Any = ModuleType(name)
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": name})
    for part in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        monkeypatch.setitem(sys.modules, part, ModuleType(part))
    monkeypatch.setitem(sys.modules, name, module)
    state = {module.ModelCheckpoint: {"best_model_score": np.float64(0.5)}}
    path = tmp_path / f"a{suffix}"
    tensors = {"model.diffusion_model.w": torch.ones(2).half(), "model_ema.w": torch.ones(1)}
    if suffix == ".ckpt":
        torch.save({"state_dict": tensors, "global_step": 3, "callbacks": state}, path)
    else:
        save_checkpoint(tensors, path, 64)
    parts = read_checkpoint(path)
    assert parts.unet["w"].dtype == torch.float32
    assert parts.vae == parts.text == {}


def test_a_file_cut_short_is_named(tmp_path: Path) -> None:
    for name in ("a.safetensors", "a.ckpt"):
        (tmp_path / name).write_bytes(b"cut short")
        with pytest.raises(LayoutError, match=f"{name} cannot be read|{name} holds more"):
            read_checkpoint(tmp_path / name)
