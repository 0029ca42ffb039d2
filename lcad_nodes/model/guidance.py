"""Instance-aware sampling: attention logits moved toward each phrase's mask (paper section 3.3)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

Reduction = Literal["sum", "mean"]


def attention_logits(q: Tensor, k: Tensor, heads: int) -> Tensor:
    """Compute S = q k^T / sqrt(d) in float32.

    Args:
        q: B x positions x (heads*d).
        k: B x tokens x (heads*d).
        heads: number of attention heads.

    Returns:
        B x heads x positions x tokens.
    """
    q, k = (_split_heads(x, heads).float() for x in (q, k))
    return (q * q.shape[-1] ** -0.5) @ k.mT


def attend(logits: Tensor, v: Tensor) -> Tensor:
    """Weigh the values by softmax(S).

    Args:
        logits: B x heads x positions x tokens.
        v: B x tokens x (heads*d).

    Returns:
        B x positions x (heads*d), in the type of `v`.
    """
    weights = logits.softmax(dim=-1).to(v.dtype)
    return (weights @ _split_heads(v, logits.shape[1])).transpose(1, 2).flatten(2)


def guide_logits(
    logits: Tensor,
    masks: Tensor,
    phrases: Sequence[Sequence[int]],
    strength: float,
    reduction: Reduction,
    prompt_tokens: int,
) -> Tensor:
    """Take one gradient step S - lambda * dBCE(sigmoid(S), mask)/dS on every phrase's tokens.

    The gradient is (sigmoid(S) - mask) / N, with N = 1 for the loss summed over elements and
    heads * tokens * positions of the phrase for its mean. Other tokens do not change.

    Args:
        logits: B x heads x positions x tokens.
        masks: one a phrase, phrases x positions in [0, 1].
        phrases: for every phrase the indices of its tokens in the encoded prompt.
        strength: lambda; per element where the reduction is the sum.
        reduction: `sum`, or `mean` as published.
        prompt_tokens: length of the encoded prompt. The logits' last dimension may be a multiple
            of it: hosts repeat a prompt to batch it with a longer one.

    Returns:
        The changed logits, of the same shape.
    """
    original = logits.unflatten(-1, (-1, prompt_tokens))
    guided = original.clone()
    for mask, tokens in zip(masks, phrases, strict=True):
        columns = torch.tensor(tokens, device=logits.device)
        _, heads, positions = logits.shape[:3]
        elements = 1 if reduction == "sum" else heads * positions * len(tokens)
        gradient = (original[..., columns].sigmoid() - mask[:, None, None]) / elements
        guided.index_add_(-1, columns, gradient, alpha=-strength)
    return guided.flatten(-2)


def masks_on_grid(masks: Tensor, size: Sequence[int]) -> Tensor:
    """Take masks to the grid of an attention layer, by the nearest value.

    Args:
        masks: phrases x H x W.
        size: height and width of the layer's grid.

    Returns:
        phrases x positions.
    """
    return interpolate(masks[None], tuple(size), mode="nearest")[0].flatten(1)


def _split_heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)
