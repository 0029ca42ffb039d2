"""The size that colors are made at where the user names none."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import folder_paths
import pytest
import torch
from comfy.model_patcher import ModelPatcher
from comfy_execution.caching import RAMPressureCache
from comfy_extras.nodes_model_merging import CheckpointSave
from golden_weights import golden_state_dict
from safetensors.torch import save_file

from lcad_nodes.host.files import CheckpointError
from lcad_nodes.host.loading import Checkpoint, load_checkpoint, trained_at
from lcad_nodes.host.luminance import CHECKPOINTS, TRAINED_AT, encode_luminance
from lcad_nodes.training.__main__ import export

PHOTO = torch.rand(1, 3, 40, 50, generator=torch.manual_seed(0))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Of a file that was exported as trained at 64 px."""
    folder = tmp_path_factory.mktemp("resolution")
    save_file(golden_state_dict(0), folder / "golden.safetensors")
    path = export(folder / "golden.safetensors", folder / "exported.safetensors", 64, None)
    return load_checkpoint(str(path))


@pytest.fixture(scope="module")
def encoder(exported: Checkpoint) -> ModelPatcher:
    return exported.encoder


def working_size(encoder: ModelPatcher, resolution: int = CHECKPOINTS) -> tuple[int, int]:
    with torch.inference_mode():
        return encode_luminance(encoder.clone(), PHOTO, resolution).geometry.working


def stated(folder: Path, resolution: str | None) -> tuple[int, int] | None:
    """What is read off a file that says this, or nothing, of its resolution."""
    path = folder / "file.safetensors"
    metadata = {"modelspec.resolution": resolution} if resolution else None
    save_file({"a": torch.zeros(1)}, path, metadata)
    return trained_at(str(path))


def test_an_exported_checkpoint_says_what_it_was_trained_at(encoder: ModelPatcher) -> None:
    assert working_size(encoder) == (64, 64)
    assert working_size(encoder, 48) == (48, 60)
    assert working_size(encoder, 0) == (40, 50)


def test_what_the_host_saves_works_at_the_size_that_it_was_trained_at(
    exported: Checkpoint,
) -> None:
    with torch.inference_mode():
        CheckpointSave().save(exported.model, None, exported.vae, "checkpoints/sized")
    (saved,) = (Path(folder_paths.get_output_directory()) / "checkpoints").glob("sized_*")
    assert trained_at(str(saved)) == (64, 64)
    assert working_size(load_checkpoint(str(saved)).encoder) == (64, 64)


def test_the_shorter_side_counts(encoder: ModelPatcher, tmp_path: Path) -> None:
    other = encoder.clone()
    other.set_attachments(TRAINED_AT, stated(tmp_path, "96x64"))
    assert working_size(other) == (64, 80)


@pytest.mark.parametrize("resolution", [None, "large"])
def test_a_checkpoint_that_does_not_say_works_at_the_published_size(
    encoder: ModelPatcher, tmp_path: Path, resolution: str | None
) -> None:
    silent = encoder.clone()
    silent.set_attachments(TRAINED_AT, stated(tmp_path, resolution))
    assert working_size(silent) == (256, 320)


@pytest.mark.parametrize("resolution", ["0x0", "7x64", "64x2049", "16384x16384", "100000x100000"])
def test_a_size_that_nothing_is_trained_at_is_an_error_that_names_file_and_size(
    tmp_path: Path, resolution: str
) -> None:
    message = rf"file\.safetensors says .* trained at {resolution} px: a side must be 8 to 2048"
    with pytest.raises(CheckpointError, match=message):
        stated(tmp_path, resolution)


def test_the_smallest_and_the_largest_size_are_taken(tmp_path: Path) -> None:
    assert stated(tmp_path, "64x2048") == (64, 2048)


def test_the_host_knows_what_the_features_of_a_photo_take(encoder: ModelPatcher) -> None:
    """When its memory runs low, it drops what is large; it looks for tensors in tuples alone."""
    with torch.inference_mode():
        luminance = encode_luminance(encoder.clone(), PHOTO, 64)
    size = sum(feature.nbytes for feature in luminance.features)
    everywhere = 1 << 60
    for least, is_dropped in [(everywhere, False), (size, True)]:
        cache: Any = RAMPressureCache(None)
        cache.cache = {"photo": SimpleNamespace(outputs=[[luminance]])}
        cache.used_generation, cache.timestamps = {"photo": cache.generation}, {"photo": 0.0}
        cache.ram_release(everywhere, free_active=True, min_entry_size=least)
        assert ("photo" not in cache.cache) is is_dropped
