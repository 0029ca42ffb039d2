"""Whether a training keeps what it has only started from."""

import weakref
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from torch import Tensor

from lcad_nodes.model.checkpoint import CheckpointParts
from lcad_nodes.training.checkpoints import read_checkpoint


def require_let_go(
    stage: ModuleType, parts: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place of the training itself, see that these of the start's parts are kept nowhere."""
    held: list[weakref.ref[Tensor]] = []

    def read(path: Path) -> CheckpointParts:
        start = read_checkpoint(path)
        held.extend(weakref.ref(t) for part in parts for t in getattr(start, part).values())
        return start

    def run(*_: Any) -> Path:
        assert held
        assert all(tensor() is None for tensor in held)
        return Path()

    monkeypatch.setattr(stage, "read_checkpoint", read)
    monkeypatch.setattr(stage.Fit, "run", run)
