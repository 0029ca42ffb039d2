"""Differences between two UNets, without a host."""

import pytest
import torch
from torch import Tensor

from lcad_nodes.model.patch import (
    FIRST_CONVOLUTION,
    PatchError,
    from_file,
    is_same,
    subtract,
    to_file,
)


def unets() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    torch.manual_seed(0)
    base = {FIRST_CONVOLUTION: torch.randn(32, 4, 3, 3), "a": torch.randn(8), "b": torch.randn(8)}
    extended = torch.cat([base[FIRST_CONVOLUTION], torch.randn(32, 16, 3, 3)], dim=1)
    return base | {FIRST_CONVOLUTION: extended, "b": torch.randn(8)}, base


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_differences_give_the_original_back(dtype: torch.dtype) -> None:
    original, base = ({k: v.to(dtype) for k, v in unet.items()} for unet in unets())
    found = subtract(original, base)
    assert found.keys() == {FIRST_CONVOLUTION, "b"}
    torch.testing.assert_close(base["b"].float() + found["b"], original["b"].float())
    first = found[FIRST_CONVOLUTION]
    assert not first[:, :4].any()
    assert torch.equal(first[:, 4:], original[FIRST_CONVOLUTION][:, 4:].float())


PAIRS = [
    (torch.float32, torch.float16),
    (torch.bfloat16, torch.float32),
    (torch.float16, torch.bfloat16),
]
"""Types of two files of one model."""


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_what_two_types_round_off_is_no_difference(ours: torch.dtype, theirs: torch.dtype) -> None:
    """Down to values that have fewer digits in float16, and no more."""
    original, base = unets()
    alike = {"a": torch.randn(10_000) * torch.logspace(-9, 3, 10_000)}
    changed = {"b": base["b"] * 1.02}
    first = {name: tensor.to(ours) for name, tensor in (original | alike | changed).items()}
    second = {name: tensor.to(theirs) for name, tensor in (base | alike).items()}
    found = subtract(first, second)
    assert found.keys() == {FIRST_CONVOLUTION, "b"}
    assert torch.equal(second["b"].float() + found["b"], first["b"].float())


def test_of_one_type_the_least_change_is_a_difference() -> None:
    one = torch.ones(2, dtype=torch.float16)
    least = one + torch.finfo(one.dtype).eps
    assert is_same(one, one.clone())
    assert not is_same(one, least)
    assert not is_same(one.float(), least)
    assert not is_same(one, torch.ones(3))
    assert is_same(torch.arange(77), torch.arange(77).half())


def test_a_file_keeps_both_parts() -> None:
    original, base = unets()
    differences, encoder = subtract(original, base), {"conv_in.weight": torch.zeros(1)}
    assert from_file(to_file(differences, encoder)) == (differences, encoder)


def test_unets_that_do_not_belong_together_are_named() -> None:
    original, base = unets()
    new = {"new": torch.zeros(1)}
    for ours, theirs, message in (
        (original | new, base, "the base has no new"),
        (original, base | new, "the original has no new"),
        (original, {}, f"the base has no {FIRST_CONVOLUTION}"),
        (original, base | {"a": torch.zeros(9)}, r"a is \(8,\) in the original and \(9,\)"),
        (base, base, "the original reads 4 input channels and the base 4"),
    ):
        with pytest.raises(PatchError, match=message):
            subtract(ours, theirs)


def test_other_files_are_no_patch() -> None:
    with pytest.raises(PatchError, match="not a patch"):
        from_file({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(1)})
