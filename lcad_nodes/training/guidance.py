"""Instance guidance while training, so that a small UNet learns to follow what samplers do."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d
from transformers import CLIPTokenizer

from ..model.guidance import (
    attend,
    attention_logits,
    guide_logits,
    mark_tokens,
    masks_on_grid,
)
from ..model.phrases import Token, find_phrases
from .networks import TOKENS

SMALLEST_SHARE = 1e-4
"""Of attention, from which on the localization error grows no further."""


@dataclass(frozen=True)
class Instances:
    """The things that one description names.

    Attributes:
        masks: things x h x w in [0, 1], on the latent's grid.
        tokens: for every thing the indices of its phrase's tokens in the encoded description, at
            least one.
        unsaid: h x w in [0, 1]: people's skin that it does not speak of; None: there is none.
    """

    masks: Tensor
    tokens: tuple[tuple[int, ...], ...]
    unsaid: Tensor | None = None

    def to(self, device: torch.device) -> "Instances":
        """The same, with its masks on a device."""
        unsaid = None if self.unsaid is None else self.unsaid.to(device)
        return Instances(self.masks.to(device), self.tokens, unsaid)

    @cached_property
    def marks(self) -> Tensor:
        """Their tokens as every layer computes with them; see `mark_tokens`."""
        return mark_tokens(self.tokens, TOKENS).to(self.masks)


def find_instances(
    tokenizer: CLIPTokenizer, text: str, objects: Sequence[tuple[str, Tensor]], size: Sequence[int]
) -> Instances:
    """Find a description's phrases among its tokens, and take their masks to the latent's grid.

    A phrase that is cut off with the end of a long description names nothing.

    Args:
        tokenizer: CLIP's.
        text: the description.
        objects: phrases of it, each with its mask, HxW; "" is that of what it does not speak of.
        size: height and width of the latent.

    Raises:
        PhraseError: if a phrase is not in the description.
    """
    if not objects:
        return Instances(torch.zeros(0, *size), ())
    masks = masks_on_grid(torch.stack([mask for _, mask in objects]), size)
    masks = masks.unflatten(-1, tuple(size))
    said = torch.tensor([bool(phrase) for phrase, _ in objects])
    unsaid = None if said.all() else masks[~said].amax(dim=0)
    masks, phrases = masks[said], [phrase for phrase, _ in objects if phrase]
    words, *wanted = (tokenizer(text)["input_ids"][1:-1] for text in (text, *phrases))
    tokens = [Token(number, index) for index, number in enumerate(words, 1)]
    found = find_phrases(text, tokens, phrases, wanted)
    spans = [tuple(index for index in span if index < TOKENS - 1) for span in found]
    heard = [number for number, span in enumerate(spans) if span]
    return Instances(masks[heard], tuple(spans[number] for number in heard), unsaid)


class GuidedAttention:
    """Attention of diffusers' blocks that moves logits toward masks, as fast guidance does.

    Attributes:
        strength: see `guide_logits`; the loss is summed.
        localized: whether to compute how far attention is from them by itself.
    """

    def __init__(self, strength: float, *, localized: bool) -> None:
        self.strength, self.localized = strength, localized
        self._instances: Sequence[Instances] = ()
        self._guided: Sequence[bool] = ()
        self._errors: list[Tensor] = []

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor, **_unused: None
    ) -> Tensor:
        """Compute one cross-attention, as diffusers calls it.

        Args:
            attn: diffusers' `Attention`.
            hidden_states: B x positions x C.
            encoder_hidden_states: the encoded descriptions, B x 77 x C.

        Returns:
            B x positions x C.
        """
        q, k = attn.to_q(hidden_states), attn.to_k(encoder_hidden_states)
        logits = attention_logits(q, k, attn.heads)
        if self.localized and self._instances:
            self._errors.append(localization_error(logits, self._instances))
        if any(self._guided):
            rows = zip(logits.split(1), self._instances, self._guided, strict=True)
            logits = torch.cat([self._guide(row, i) if on else row for row, i, on in rows])
        project, dropout = attn.to_out
        return dropout(project(attend(logits, attn.to_v(encoder_hidden_states))))

    def _guide(self, logits: Tensor, instances: Instances) -> Tensor:
        if not instances.tokens:
            return logits
        masks = masks_on_grid(instances.masks, _grid(instances, logits.shape[2]))
        marks = instances.marks.to(logits)
        return guide_logits(logits, masks.to(logits), marks, self.strength, "sum")

    @contextmanager
    def toward(
        self, instances: Sequence[Instances], guided: Sequence[bool]
    ) -> Iterator[list[Tensor]]:
        """Guide by these for as long as the context lasts.

        Args:
            instances: one for each picture of the batch.
            guided: whether to guide it.

        Returns:
            `localization_error` of every cross-attention computed, before guidance.
        """
        self._instances, self._guided, self._errors = instances, guided, []
        try:
            yield self._errors
        finally:
            self._instances, self._guided, self._errors = (), (), []


def localization_error(logits: Tensor, instances: Sequence[Instances]) -> Tensor:
    """Compute how far attention on phrases is from their masks (the loss of section 3.3).

    It is the mean binary cross-entropy between a mask and the share of its attention, averaged
    over heads, that a position gives to the phrase's tokens. Section 3.3 moves logits against
    this error while sampling; learned from, it leaves less to be moved.

    Args:
        logits: B x heads x positions x tokens, before the softmax.
        instances: B.

    Returns:
        A scalar; zero where no instances are known.
    """
    shares = logits.float().softmax(dim=-1).mean(dim=1)
    errors = [torch.zeros(0, device=logits.device)]
    for share, known in zip(shares, instances, strict=True):
        if known.tokens:
            found = torch.stack([share[:, list(span)].sum(dim=-1) for span in known.tokens])
            masks = adaptive_avg_pool2d(
                known.masks.to(found), _grid(known, logits.shape[2])
            ).flatten(1)
            found = found.clamp(SMALLEST_SHARE, 1 - SMALLEST_SHARE)
            errors.append(-(masks * found.log() + (1 - masks) * (1 - found).log()).flatten())
    together = torch.cat(errors)
    return together.sum() / max(together.numel(), 1)


def _grid(instances: Instances, positions: int) -> tuple[int, int]:
    """Height and width of an attention layer's positions; halving an odd side rounds up."""
    height, width = instances.masks.shape[-2:]
    while height * width > positions:
        height, width = -(-height // 2), -(-width // 2)
    return height, width


def install(unet: UNet2DConditionModel, guided: GuidedAttention) -> None:
    """Put guided attention in the place of every attention on text."""
    processors: dict[str, Any] = {
        name: guided if name.endswith("attn2.processor") else processor
        for name, processor in unet.attn_processors.items()
    }
    unet.set_attn_processor(processors)
