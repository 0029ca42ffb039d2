"""Which luminance encoder a model and a VAE were trained with, where their file tells.

Encoders of one architecture have the same shapes, and another one's features would quietly spoil
the colors. So whatever is loaded with its encoder remembers it. What other nodes have loaded does
not, and is taken as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from comfy.model_patcher import ModelPatcher
from torch import Tensor

LAST_OUTPUT = "zero_conv_mid2.weight"
"""The encoder's tensor that tells it apart: it starts from zeros, so every training has its own."""
ROUNDING = 0.1
"""Relative difference up to which two encoders are one that was stored in other types."""
ORIGIN_KEY = "lcad_origin"
"""Where a patcher, and a conditioning with luminance, carries the encoder."""


@dataclass(frozen=True, eq=False)
class Origin:
    """A luminance encoder, as what was trained with it remembers it.

    Attributes:
        file: name of the file that holds it.
        weight: its `LAST_OUTPUT`, float32.
    """

    file: str
    weight: Tensor

    @classmethod
    def of(cls, encoder: Mapping[str, Tensor], file: str) -> "Origin":
        """Remember the encoder with these tensors."""
        return cls(file, encoder[LAST_OUTPUT].float().clone())

    def differs(self, other: "Origin | None") -> bool:
        """Tell whether the other is known to be another encoder."""
        if other is None:
            return False
        if self.weight.shape != other.weight.shape:
            return True
        return bool((self.weight - other.weight).norm() > ROUNDING * self.weight.norm())


def set_origin(patcher: ModelPatcher, origin: Origin | None) -> None:
    """Have the patcher of a model, a VAE or an encoder remember the encoder; its clones do, too."""
    patcher.set_attachments(ORIGIN_KEY, origin)


def origin_of(patcher: ModelPatcher) -> Origin | None:
    """Return the encoder that a model, a VAE or an encoder belongs to, if it is known."""
    return patcher.get_attachment(ORIGIN_KEY)
