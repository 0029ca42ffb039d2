"""Checkpoint files: every kind is read, and none runs anything."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lcad_nodes.model.checkpoint import LayoutError
from lcad_nodes.training.__main__ import average, export, main
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
    names = ("model.diffusion_model.w", "first_stage_model.w", "model_ema.w")
    tensors = {name: torch.ones(2).half() for name in names}
    if suffix == ".ckpt":
        torch.save({"state_dict": tensors, "global_step": 3, "callbacks": state}, path)
    else:
        save_checkpoint(tensors, path, 64)
    parts = read_checkpoint(path)
    assert parts.unet["w"].dtype == torch.float16
    assert parts.vae["w"].dtype == torch.float32
    assert parts.encoder == parts.text == {}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"<html>", "did not write it"),
        (b"", "did not write it"),
        (torch.ones(2), "holds a Tensor"),
        ({"state_dict": [1]}, "holds a list"),
    ],
)
def test_a_file_of_something_else_is_not_said_to_run_code(
    tmp_path: Path, content: Any, problem: str
) -> None:
    path = tmp_path / "other.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(LayoutError, match=rf"other\.ckpt cannot be read.*{problem}"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "rest", [b"h\x05.", b"X\xff", b"X\xff\xff\xff\xff", b"c", b"N.", b"]R.", b"t."]
)
def test_a_broken_pickle_is_named(tmp_path: Path, rest: bytes) -> None:
    (tmp_path / "a.ckpt").write_bytes(b"\x80\x02" + rest)
    with pytest.raises(LayoutError, match=r"a\.ckpt cannot be read|a\.ckpt holds more"):
        read_checkpoint(tmp_path / "a.ckpt")


def test_a_file_cut_short_is_named(tmp_path: Path) -> None:
    for name in ("a.safetensors", "a.ckpt"):
        (tmp_path / name).write_bytes(b"cut short")
        with pytest.raises(LayoutError, match=f"{name} cannot be read|{name} holds more"):
            read_checkpoint(tmp_path / name)


def test_a_checkpoint_makes_the_folder_that_it_is_written_to(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.safetensors"
    save_checkpoint({"a": torch.zeros(1)}, path, 64)
    assert load_file(path).keys() == {"a"}


@pytest.mark.skipif(sys.platform == "win32", reason="its files have no such modes")
def test_a_checkpoint_may_be_read_by_whoever_may_read_other_files(tmp_path: Path) -> None:
    save_checkpoint({"a": torch.zeros(1)}, tmp_path / "a.safetensors", 64)
    (tmp_path / "other").touch()
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize(
    ("width", "found"), [(1024, "Stable Diffusion 2.x"), (2048, "Stable Diffusion XL")]
)
def test_models_of_other_families_are_named(tmp_path: Path, width: int, found: str) -> None:
    name = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
    save_file({name: torch.zeros(8, width)}, tmp_path / "other.safetensors")
    with pytest.raises(LayoutError, match=f"other.safetensors is a model of {found}, but L-CAD"):
        read_checkpoint(tmp_path / "other.safetensors")


def test_an_average_is_halfway_between_two_checkpoints(tmp_path: Path) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    save_file({"a": torch.zeros(3), "b": torch.ones(2)}, first)
    save_file({"a": torch.ones(3), "b": torch.ones(2)}, second)
    found = load_file(average([first, second], tmp_path / "mean.safetensors", 128))
    assert torch.equal(found["a"], torch.full((3,), 0.5))
    assert torch.equal(found["b"], torch.ones(2))


def test_a_checkpoint_is_shipped_in_half_precision_with_another_ones_autoencoder(
    tmp_path: Path,
) -> None:
    names = ("model.diffusion_model.w", "first_stage_model.w", "first_stage_model.g_encoder.w")
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    save_file({name: torch.zeros(3) for name in names}, first)
    save_file({name: torch.ones(3) for name in names}, second)
    own = load_file(export(first, tmp_path / "own.safetensors", 256, None))
    assert {name: tensor.sum().item() for name, tensor in own.items()} == dict.fromkeys(names, 0)
    assert {tensor.dtype for tensor in own.values()} == {torch.float16}
    mixed = load_file(export(first, tmp_path / "mixed.safetensors", 256, second))
    assert [mixed[name].sum().item() for name in names] == [0, 3, 3]


def test_checkpoints_of_different_networks_have_no_average(tmp_path: Path) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    save_file({"a": torch.zeros(3)}, first)
    save_file({"a": torch.zeros(4)}, second)
    with pytest.raises(LayoutError, match=r"second.* other tensors"):
        average([first, second], tmp_path / "mean.safetensors", 128)


def test_what_is_wrong_with_a_file_is_told_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text("steps = 5\n", encoding="utf-8")
    (tmp_path / "model.sft").write_bytes(b"none")
    commands = {
        "unknown steps": ["diffusion", str(tmp_path / "config.toml")],
        "model.sft cannot be read as a checkpoint": [
            *("export", str(tmp_path / "model.sft"), str(tmp_path / "out.safetensors")),
            *("--resolution", "64"),
        ],
    }
    for said, arguments in commands.items():
        monkeypatch.setattr("sys.argv", ["training", *arguments])
        with pytest.raises(SystemExit, match=said):
            main()
