"""Files of every kind that users have in their model folders, and what is said of them."""

import io
import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy.utils
import pytest
import torch
from PIL import Image
from safetensors.torch import save, save_file
from torch import Tensor

from lcad_nodes.host.files import CheckpointError, check_family, read_tensors
from lcad_nodes.host.loading import load_checkpoint, load_unet
from lcad_nodes.host.patch import apply_patch, extract_patch
from lcad_nodes.model.checkpoint import PREFIXES

TENSORS = {f"block.{number}.weight": torch.randn(20, 30) for number in range(20)}
PAGE = b"<!DOCTYPE html><html><head><title>404: Not found</title></head></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 4265380512\n"


def as_ckpt(content: Any, is_zip: bool = True) -> bytes:
    """Torch's format; that of before version 1.6 holds several pickles one after another."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=is_zip)
    return buffer.getvalue()


def as_picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "PNG")
    return buffer.getvalue()


def as_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "no model")
    return buffer.getvalue()


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        read_tensors(str(path))
    assert str(error.value).startswith(f"{path.name} ")
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("new.ckpt", as_ckpt({"state_dict": TENSORS})),
        ("old.ckpt", as_ckpt({"state_dict": TENSORS}, is_zip=False)),
        ("plain.pt", as_ckpt(TENSORS)),
        ("model.SAFETENSORS", save(TENSORS)),
        ("model.sft", save(TENSORS)),
    ],
)
def test_a_files_tensors_are_read(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    found = read_tensors(str(tmp_path / name))
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[key], value) for key, value in TENSORS.items())


def test_what_is_beside_the_tensors_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    path.write_bytes(as_ckpt({"state_dict": {**TENSORS, "step": 3, 4: torch.zeros(1)}}))
    assert read_tensors(str(path)).keys() == TENSORS.keys()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", save(TENSORS)),
        ("new.ckpt", as_ckpt({"state_dict": TENSORS})),
        ("old.ckpt", as_ckpt({"state_dict": TENSORS}, is_zip=False)),
    ],
)
def test_a_file_that_is_cut_short_anywhere_may_be_incomplete(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    for length in (0, *range(9, len(content), 997), len(content) - 1):
        path.write_bytes(content[:length])
        assert "it may be incomplete: download it again" in refusal(path), length


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] data. not enough memory: you tried to"),
    ],
)
def test_a_file_that_does_not_fit_into_memory_is_not_said_to_be_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise error

    (tmp_path / "large.ckpt").write_bytes(as_ckpt(TENSORS))
    monkeypatch.setattr(comfy.utils, "load_torch_file", full)
    assert "does not fit into memory" in refusal(tmp_path / "large.ckpt")


@pytest.mark.parametrize("ending", ["ckpt", "safetensors"])
@pytest.mark.parametrize(
    "content", [PAGE, POINTER, as_picture(), b"\n" * 5000], ids=["page", "lfs", "png", "blank"]
)
def test_what_a_failed_download_leaves_is_no_checkpoint(
    tmp_path: Path, ending: str, content: bytes
) -> None:
    path = tmp_path / f"file.{ending}"
    path.write_bytes(content)
    assert "is not a checkpoint" in refusal(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "content",
    [
        as_zip(),
        as_ckpt([1, 2]),
        as_ckpt({"state_dict": None}),
        as_ckpt({"step": 3}),
        as_ckpt(torch.zeros(3)),
        as_ckpt(3),
        pickle.dumps({"step": 3}),
        pickle.dumps({"step": 3}, protocol=0),
    ],
    ids=["zip", "list", "none", "numbers", "tensor", "number", "pickle", "old pickle"],
)
def test_a_pickle_without_named_tensors_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.ckpt"
    path.write_bytes(content)
    assert "is not a checkpoint" in refusal(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("length", [2**62, 2**63 - 1])
def test_a_pickle_that_claims_more_than_any_memory_holds_is_no_checkpoint(
    tmp_path: Path, length: int
) -> None:
    path = tmp_path / "file.ckpt"
    path.write_bytes(pickle.PROTO + b"\4" + pickle.BINUNICODE8 + struct.pack("<Q", length) + b"x.")
    assert "is not a checkpoint" in refusal(path)


def test_a_safetensors_file_without_tensors_is_no_checkpoint(tmp_path: Path) -> None:
    save_file({}, tmp_path / "empty.safetensors")
    assert "holds no named tensors" in refusal(tmp_path / "empty.safetensors")


def test_the_ending_that_a_file_should_have_is_named(tmp_path: Path) -> None:
    endings: dict[str, tuple[bytes, str]] = {
        "one.ckpt": (save(TENSORS), "is a safetensors file: give it the ending .safetensors"),
        "two.safetensors": (
            as_ckpt(TENSORS),
            "is not a safetensors file: give it the ending .ckpt",
        ),
        "three.sft": (pickle.dumps(3), "is not a safetensors file: give it the ending .ckpt"),
    }
    for name, (content, message) in endings.items():
        (tmp_path / name).write_bytes(content)
        assert message in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["gone.ckpt", "gone.safetensors", "folder.ckpt", "folder.sft"])
def test_a_file_that_is_gone_is_named(tmp_path: Path, name: str) -> None:
    for folder in ("folder.ckpt", "folder.sft"):
        (tmp_path / folder).mkdir()
    assert "is not there any more, or is not a file" in refusal(tmp_path / name)


class Code:
    """What a malicious pickle holds: a call that loading would make."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "content",
    [
        *(pickle.dumps(Code(), protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)),
        as_ckpt({"state_dict": Code()}),
        as_ckpt({"state_dict": Code()}, is_zip=False),
        as_ckpt({"model": torch.nn.Linear(2, 2)}),
    ],
)
def test_a_file_that_would_run_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.ckpt"
    path.write_bytes(content)
    assert "holds more than tensors and was not loaded, because such a file can run" in refusal(
        path
    )
    path.rename(tmp_path / "bad.safetensors")
    refusal(tmp_path / "bad.safetensors")
    assert not Path("ran").exists()


NO_MODEL: Any = None
LOADERS: dict[str, Callable[[str], Any]] = {
    "checkpoint": load_checkpoint,
    "UNet": load_unet,
    "patch": lambda path: apply_patch(NO_MODEL, path, 1.0),
    "original": lambda path: extract_patch(path, path, "never"),
}


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_every_loader_refuses_a_file_that_is_broken(
    tmp_path: Path, load: Callable[[str], Any]
) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(save(TENSORS)[:5000])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors cannot be read; it may be incom"):
        load(str(path))


def reads(width: int, name: str) -> dict[str, Tensor]:
    """A layer that reads prompts of this width."""
    return {name: torch.zeros(8, width)}


KOHYA = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"
PEFT = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight"
LORA_OF_TEXT = "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight"
CHECKPOINT = f"{PREFIXES['unet']}input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
DIFFUSERS = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight"


@pytest.mark.parametrize(
    ("width", "tensor", "message"),
    [
        (768, KOHYA, "is a LoRA for Stable Diffusion 1.x, not a checkpoint"),
        (768, PEFT, "is a LoRA for Stable Diffusion 1.x, not a checkpoint"),
        (2048, KOHYA, "is a LoRA for Stable Diffusion XL, not a checkpoint"),
        (768, LORA_OF_TEXT, "is a LoRA, not a checkpoint"),
        (2048, CHECKPOINT, "is a model of Stable Diffusion XL, but L-CAD extends"),
        (1280, CHECKPOINT, "is a model of the refiner of Stable Diffusion XL, but"),
        (1024, CHECKPOINT, "is a model of Stable Diffusion 2.x, but L-CAD extends"),
        (2048, DIFFUSERS, "is a model of Stable Diffusion XL, but L-CAD extends"),
    ],
)
@pytest.mark.parametrize("load", [load_checkpoint, load_unet, LOADERS["original"]])
def test_models_of_other_kinds_are_named(
    tmp_path: Path, load: Callable[[str], Any], width: int, tensor: str, message: str
) -> None:
    save_file(reads(width, tensor), tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=re.escape(f"other.safetensors {message}")):
        load(str(tmp_path / "other.safetensors"))


@pytest.mark.parametrize("width", [64, 768])
def test_models_of_the_right_kind_are_taken(width: int) -> None:
    check_family(reads(width, CHECKPOINT), "model.safetensors")
