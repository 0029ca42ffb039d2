"""Photos that the encoder cannot read."""

from pathlib import Path
from typing import Any

import comfy.model_management as management
import pytest
import torch
from comfy.cli_args import args
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from lcad_nodes.host.loading import load_checkpoint
from lcad_nodes.host.luminance import EncodingError, encode_luminance


@pytest.fixture
def encoder(small_checkpoint: Path) -> ModelPatcher:
    return load_checkpoint(str(small_checkpoint)).encoder


@torch.inference_mode()
def test_too_little_memory_is_an_error_that_names_size_and_remedy(
    encoder: ModelPatcher, photo: Tensor
) -> None:
    def fill(*_call: Any) -> None:
        raise management.OOM_EXCEPTION("CUDA out of memory")

    encoder.model.register_forward_pre_hook(fill)
    message = r"to read the photo at 64 x 96 px \(height x width\): lower resolution"
    with pytest.raises(management.OOM_EXCEPTION, match=message):
        encode_luminance(encoder, photo, 64)


@torch.inference_mode()
def test_an_encoder_that_overflows_is_named_before_anything_is_sampled(
    encoder: ModelPatcher, photo: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder.model.zero_conv_mid2.weight *= 1e6
    assert encode_luminance(encoder, photo, 64).features[-1].isfinite().all()
    monkeypatch.setattr(args, "fp16_vae", True)
    with pytest.raises(EncodingError, match=r"luminance encoder gave NaN .* --fp32-vae"):
        encode_luminance(encoder, photo, 64)
