"""A description with its objects: phrases found in the encoded prompt, each with a mask."""

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import comfy.sd
import torch
from comfy.sd1_clip import escape_important, token_weights, unescape_important
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ..model.geometry import Size, in_proportion
from ..model.phrases import PhraseError, Token, find_spelled, spellings, split_phrases
from .conditioning import INSTANCES_KEY, Conditioning
from .errors import ConditioningError

FAINTEST = 1.5 / 255
"""What a mask must exceed somewhere: some opaque pictures' alpha the host reads a step off."""


START_KEY = "lcad_start"
"""Where a conditioning with instances carries the encoding of its first token."""
ONE_TOKEN = 0.95
"""Cosine above which two encodings are of one token; lcad-mini's start and others: 0.88 at most."""


class MaskError(ValueError):
    """The masks do not fit the phrases; the message says which."""


@dataclass(frozen=True, eq=False)
class Instance:
    """One object of a description.

    Attributes:
        phrase: the words for it.
        tokens: indices of the words' tokens in the encoded prompt.
        mask: where it is, HxW in [0, 1], in the photo's own pixels.
    """

    phrase: str
    tokens: tuple[int, ...]
    mask: Tensor


@dataclass(frozen=True, eq=False)
class Instances:
    """The objects of one encoded prompt, in the order that they were named in."""

    items: tuple[Instance, ...]

    def equals(self, other: "Instances | None") -> bool:
        """Whether another has the same phrases, tokens and masks.

        The host keeps some nodes' outputs and makes others anew, as it has the memory.
        """
        if other is None or len(other.items) != len(self.items):
            return False
        pairs = zip(self.items, other.items, strict=True)
        return self is other or all(
            (one.phrase, one.tokens) == (two.phrase, two.tokens) and one.mask.equal(two.mask)
            for one, two in pairs
        )

    def check_size(self, photo: Size) -> None:
        """Compare the masks with the photo: their scale may be another, but not their shape.

        Args:
            photo: its height and width in px.

        Raises:
            MaskError: if the sides are not in the photo's proportion, up to a mask's pixel.
        """
        height, width = self.items[0].mask.shape
        if not in_proportion((height, width), photo):
            named = ", ".join(f"{n} ('{item.phrase}')" for n, item in enumerate(self.items, 1))
            raise MaskError(
                f"mask {named}: {height} x {width} px, but the photo is {photo[0]} x {photo[1]} "
                "px (height x width): masks must have the photo's size, or its proportions"
            )


def encode_instances(
    clip: comfy.sd.CLIP, text: str, phrases: str, masks: list[Tensor]
) -> tuple[Conditioning, Instances]:
    """Encode a description and find its phrases' tokens.

    Args:
        clip: an SD 1.x text encoder.
        text: the description; may hold prompt weights and embeddings.
        phrases: one a line; empty: the description's comma-separated parts.
        masks: one a phrase in the same order, HxW in [0, 1].

    Returns:
        The conditioning, which remembers its instances, and the instances.

    Raises:
        PhraseError: if a phrase is not in the text.
        MaskError: if the masks are not as many as the phrases, or a mask is empty.
    """
    instances = find_instances(clip, text, phrases, masks)
    conditioning = clip.encode_from_tokens_scheduled(clip.tokenize(text))
    return remember(conditioning, instances), instances


def find_instances(clip: comfy.sd.CLIP, text: str, phrases: str, masks: list[Tensor]) -> Instances:
    """Find a description's phrases among its tokens; as `encode_instances`, without encoding."""
    plain = without_weights(text)
    names = split_phrases(without_weights(phrases), plain)
    _check_masks(names, masks)
    spelled = [[_own_ids(clip, way) for way in spellings(name)] for name in names]
    spans = find_spelled(plain, prompt_tokens(clip, text), names, spelled)
    return Instances(tuple(map(Instance, names, spans, [m.clamp(0, 1) for m in masks])))


def remember(conditioning: Conditioning, instances: Instances) -> Conditioning:
    """Note in a conditioning which instances its prompt has, and what its encoding begins with."""
    return [
        [encoded, {**values, INSTANCES_KEY: instances, START_KEY: encoded[0, 0]}]
        for encoded, values in conditioning
    ]


def check_tokens(cond: Mapping[str, Any]) -> None:
    """Refuse an encoding whose tokens are in other places than those of its instances.

    A text encoder's start is the same in every prompt, so it stays where prompts are put behind or
    mixed in, and its direction where they are scaled.

    Args:
        cond: the values of a prompt with instances, as the host's guiders have them.

    Raises:
        ConditioningError: if it begins with another token.
    """
    likeness = cosine_similarity(cond["cross_attn"][:, 0], cond[START_KEY], dim=-1)
    if (likeness < ONE_TOKEN).any():
        raise ConditioningError(
            "another node has put tokens before those of the guided prompt, as ELLA does, or has "
            "replaced them, so that its phrases would be others': take that node or guidance away"
        )


def without_weights(text: str) -> str:
    """Take prompt weights out of a text, as the host does before it tokenizes.

    A word ends where a weight begins or ends: of "chair(s)" the host makes two words.
    """
    segments = token_weights(escape_important(text), 1.0)
    joined = unescape_important(" ".join(segment for segment, _ in segments))
    return re.sub("[ \t]+", " ", joined).strip()


def prompt_tokens(clip: comfy.sd.CLIP, text: str, is_plain: bool = False) -> list[Token]:
    """List a text's own tokens with their positions in the encoded prompt.

    Args:
        clip: an SD 1.x text encoder.
        text: any text.
        is_plain: parentheses are themselves, not prompt weights.

    Raises:
        PhraseError: if the text encoder is not one of Stable Diffusion 1.x.
    """
    encoders = clip.tokenize(text, return_word_ids=True, disable_weights=is_plain)
    if list(encoders) != ["l"]:
        raise PhraseError(
            f"the text encoder is not one of Stable Diffusion 1.x: it reads {list(encoders)}, "
            "not CLIP-L alone"
        )
    flat = (entry for chunk in encoders["l"] for entry in chunk)
    # The host numbers words from 1; 0 stands for start, end and padding.
    return [
        Token(_token_id(token), index) for index, (token, _, word) in enumerate(flat) if word != 0
    ]


def _own_ids(clip: comfy.sd.CLIP, phrase: str) -> list[Hashable]:
    return [token.id for token in prompt_tokens(clip, phrase, is_plain=True)]


def _token_id(token: Any) -> Hashable:
    """A vocabulary entry is a number; an embedding is told by its values."""
    return token.float().cpu().numpy().tobytes() if torch.is_tensor(token) else int(token)


def _check_masks(names: list[str], masks: list[Tensor]) -> None:
    if len(masks) != len(names):
        listed = ", ".join(f"'{name}'" for name in names)
        raise MaskError(
            f"{len(names)} phrases ({listed}) but {len(masks)} masks: every phrase needs one mask"
        )
    for number, (name, mask) in enumerate(zip(names, masks, strict=True), start=1):
        if not mask.isfinite().all():
            raise MaskError(
                f"mask {number} ('{name}') holds {int((~mask.isfinite()).sum())} values that are "
                "NaN or infinite: the node before it made a broken mask"
            )
        if not (mask > FAINTEST).any():
            raise MaskError(
                f"mask {number} ('{name}') is empty: mark where in the photo the object is"
            )
        if mask.shape != masks[0].shape:
            raise MaskError(
                f"mask {number} ('{name}') is {_size(mask)} px, but mask 1 is {_size(masks[0])} "
                "px (height x width): all must have one size, in the photo's "
                "proportions"
            )


def _size(mask: Tensor) -> str:
    return " x ".join(map(str, mask.shape))
