"""The luminance encoder of a file, without a host."""

import re

import pytest
import torch
from torch import Tensor

from lcad_nodes.model.checkpoint import LayoutError
from lcad_nodes.model.luminance import LuminanceEncoder, LuminanceEncoderConfig

WIDTH = "down.0.zero_conv.0.weight"
"""What a level's width is read off."""


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return LuminanceEncoder(LuminanceEncoderConfig((32, 64), 1)).state_dict()


def test_an_encoder_comes_back_from_its_tensors(tensors: dict[str, Tensor]) -> None:
    encoder = LuminanceEncoder.from_state_dict(tensors | {"conv_out.bias": torch.zeros(1)})
    assert encoder.config == LuminanceEncoderConfig((32, 64), 1)
    found = encoder.state_dict()
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("shape", [(48, 48, 1, 1), (0, 32, 1, 1), ()])
def test_a_width_that_no_encoder_has_is_named(
    tensors: dict[str, Tensor], shape: tuple[int, ...]
) -> None:
    message = re.escape(f"{WIDTH} is {shape}, but every level's width is a multiple of 32")
    with pytest.raises(LayoutError, match=message):
        LuminanceEncoder.from_state_dict(tensors | {WIDTH: torch.zeros(shape)})


def test_a_width_that_is_only_claimed_takes_no_memory(tensors: dict[str, Tensor]) -> None:
    claimed = torch.zeros(32 * 10**5, 0, 1, 1)  # as wide, it would be some hundred terabytes
    with pytest.raises(LayoutError, match=r"conv_in.bias is \(32,\), but \(3200000,\) belongs"):
        LuminanceEncoder.from_state_dict(tensors | {WIDTH: claimed})


def test_tensors_that_are_missing_or_left_over_are_named(tensors: dict[str, Tensor]) -> None:
    new = tensors | {"new": torch.zeros(1)}
    with pytest.raises(LayoutError, match=r"new is \(1,\), but none belongs there"):
        LuminanceEncoder.from_state_dict(new)
    del tensors["conv_in.weight"]
    with pytest.raises(LayoutError, match=r"conv_in.weight is missing, but \(32, 3, 3, 3\) bel"):
        LuminanceEncoder.from_state_dict(tensors)
