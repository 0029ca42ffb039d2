"""The size that colors are made at where the user names none."""

from pathlib import Path

import pytest
import torch
from golden_weights import golden_state_dict
from safetensors.torch import load_file, save_file

from lcad_nodes.host.loading import load_checkpoint
from lcad_nodes.host.luminance import CHECKPOINTS, encode_luminance
from lcad_nodes.training.__main__ import export

PHOTO = torch.rand(1, 3, 40, 50, generator=torch.manual_seed(0))


@pytest.fixture(scope="module")
def golden_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("resolution") / "golden.safetensors"
    save_file(golden_state_dict(0), path)
    return path


def working_size(path: Path, resolution: int) -> tuple[int, int]:
    encoder = load_checkpoint(str(path)).encoder
    with torch.inference_mode():
        return encode_luminance(encoder.clone(), PHOTO, resolution).geometry.working


def test_an_exported_checkpoint_says_what_it_was_trained_at(
    golden_file: Path, tmp_path: Path
) -> None:
    exported = export(golden_file, tmp_path / "exported.safetensors", 64, None)
    assert working_size(exported, CHECKPOINTS) == (64, 64)
    assert working_size(exported, 48) == (48, 60)
    assert working_size(exported, 0) == (40, 50)


def test_the_shorter_side_counts(golden_file: Path, tmp_path: Path) -> None:
    stated = tmp_path / "stated.safetensors"
    save_file(load_file(golden_file), stated, {"modelspec.resolution": "72x48"})
    assert working_size(stated, CHECKPOINTS) == (48, 60)


@pytest.mark.parametrize("metadata", [None, {"modelspec.resolution": "large"}])
def test_a_checkpoint_that_does_not_say_works_at_the_published_size(
    golden_file: Path, tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    silent = tmp_path / "silent.safetensors"
    save_file(load_file(golden_file), silent, metadata)
    assert working_size(silent, CHECKPOINTS) == (256, 320)
