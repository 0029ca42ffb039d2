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


def mark_tokens(phrases: Sequence[Sequence[int]], prompt_tokens: int) -> Tensor:
    """Tell which tokens are whose, as a tensor that every layer can compute with as it is.

    Args:
        phrases: for every phrase the indices of its tokens in the encoded prompt.
        prompt_tokens: length of the encoded prompt.

    Returns:
        phrases x prompt_tokens: 1 at a phrase's own tokens, else 0.
    """
    marks = torch.zeros(len(phrases), prompt_tokens)
    for row, tokens in zip(marks, phrases, strict=True):
        row[list(tokens)] = 1
    return marks


def guide_logits(
    logits: Tensor, masks: Tensor, marks: Tensor, strength: float, reduction: Reduction
) -> Tensor:
    """Take one gradient step S - lambda * dBCE(sigmoid(S), mask)/dS on every phrase's tokens.

    The gradient is (sigmoid(S) - mask) / N, with N = 1 for the loss summed over elements and
    heads * tokens * positions of the phrase for its mean. A token of several phrases takes a step
    for each; other tokens do not change.

    Args:
        logits: B x heads x positions x tokens. The last dimension may be a multiple of the encoded
            prompt's length: hosts repeat a prompt to batch it with a longer one.
        masks: one a phrase, phrases x positions in [0, 1].
        marks: the phrases' tokens, from `mark_tokens`, where the logits are.
        strength: lambda; per element where the reduction is the sum.
        reduction: `sum`, or `mean` as published.

    Returns:
        The changed logits, of the same shape.
    """
    _, heads, positions = logits.shape[:3]
    shares = marks
    if reduction == "mean":
        shares = marks / (marks.sum(dim=1, keepdim=True) * heads * positions)
    original = logits.unflatten(-1, (-1, marks.shape[1]))
    # Over all tokens at once: where a token is no phrase's, its share of the gradient is 0.
    gradient = original.sigmoid() * shares.sum(dim=0) - (masks.mT @ shares)[:, None]
    return (original - strength * gradient).flatten(-2)


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
