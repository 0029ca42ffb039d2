import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, scaled_dot_product_attention

from lcad_nodes.model.guidance import (
    Reduction,
    attend,
    attention_logits,
    guide_logits,
    mark_tokens,
    masks_on_grid,
)

HEADS, POSITIONS, TOKENS = 4, 12, 9
PHRASES = [(1, 2, 3), (5, 6), (3, 5)]  # the last shares tokens with both
MARKS = mark_tokens(PHRASES, TOKENS)


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(2, HEADS, POSITIONS, TOKENS, generator=torch.manual_seed(0))


@pytest.fixture
def masks() -> torch.Tensor:
    return torch.randint(0, 2, (len(PHRASES), POSITIONS), generator=torch.manual_seed(1)).float()


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_closed_form_is_the_gradient_of_the_loss(
    logits: torch.Tensor, masks: torch.Tensor, reduction: Reduction
) -> None:
    strength = 0.7
    guided = guide_logits(logits, masks, MARKS, strength, reduction)
    for row, result in zip(logits, guided, strict=True):  # the mean is over one picture
        expected = row.clone()
        for mask, tokens in zip(masks, PHRASES, strict=True):
            own = row[..., list(tokens)].clone().requires_grad_()
            target = mask[:, None].expand_as(own)
            binary_cross_entropy_with_logits(own, target, reduction=reduction).backward()
            assert own.grad is not None
            expected[..., list(tokens)] -= strength * own.grad
        torch.testing.assert_close(result, expected)


def test_other_tokens_do_not_change(logits: torch.Tensor, masks: torch.Tensor) -> None:
    guided = guide_logits(logits, masks, MARKS, 5.0, "sum")
    changed = (guided != logits).any(dim=(0, 1, 2)).nonzero().flatten().tolist()
    assert changed == [1, 2, 3, 5, 6]


def test_a_repeated_prompt_is_guided_in_every_copy(
    logits: torch.Tensor, masks: torch.Tensor
) -> None:
    values = torch.randn(2, TOKENS, HEADS * 8)
    once = attend(guide_logits(logits, masks, MARKS, 2.0, "mean"), values)
    twice = guide_logits(logits.repeat(1, 1, 1, 2), masks, MARKS, 2.0, "mean")
    torch.testing.assert_close(attend(twice, values.repeat(1, 2, 1)), once)


def test_attention_in_two_halves_is_attention() -> None:
    q, k, v = (torch.randn(2, n, HEADS * 8) for n in (POSITIONS, TOKENS, TOKENS))
    q_heads, k_heads, v_heads = (x.unflatten(-1, (HEADS, 8)).transpose(1, 2) for x in (q, k, v))
    expected = scaled_dot_product_attention(q_heads, k_heads, v_heads).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attend(attention_logits(q, k, HEADS), v), expected)


def test_masks_reach_a_layer_in_its_reading_order() -> None:
    mask = torch.zeros(1, 4, 8)
    mask[:, :, 4:] = 1
    assert masks_on_grid(mask, (2, 4)).tolist() == [[0, 0, 1, 1, 0, 0, 1, 1]]
