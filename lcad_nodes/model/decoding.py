"""Luminance-guided decoding: the ten additions inside a library's VAE decoder (section 3.1)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn


def decoder_taps(decoder: nn.Module) -> list[nn.Module]:
    """List the decoder's modules whose outputs receive luminance[0], luminance[1], ...

    Per level, the second residual block takes the even output and the first the odd one; the
    middle's second block takes the last but one and its first block the last.

    Args:
        decoder: a VAE decoder in the Stable Diffusion layout (`up`, `mid.block_1`) or in the
            diffusers layout (`up_blocks`, `mid_block.resnets`), two or more blocks a level.

    Raises:
        TypeError: if it is neither.
    """
    module: Any = decoder
    if hasattr(decoder, "up") and hasattr(decoder, "mid"):
        levels = [level.block for level in module.up]
        middle = [module.mid.block_2, module.mid.block_1]
    elif hasattr(decoder, "up_blocks") and hasattr(decoder, "mid_block"):
        levels = [level.resnets for level in reversed(module.up_blocks)]
        middle = [module.mid_block.resnets[1], module.mid_block.resnets[0]]
    else:
        raise TypeError(
            f"{type(decoder).__name__} is not a Stable Diffusion 1.x VAE decoder: it has neither "
            "`up` and `mid` nor `up_blocks` and `mid_block`"
        )
    return [block for level in levels for block in (level[1], level[0])] + middle


@contextmanager
def add_luminance(
    decoder: nn.Module,
    luminance: Sequence[Tensor],
    select: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Iterator[None]:
    """Add the luminance features inside `decoder` for as long as the context lasts.

    Args:
        decoder: see `decoder_taps`.
        luminance: the encoder's outputs, BxCxHxW each.
        select: given one feature and the activation that it is added to, returns the part of
            the feature that fits (rows of a batch, a tile); by default the whole, in the
            activation's dtype and device.

    Raises:
        ValueError: if the number of features is not the decoder's number of taps.
    """
    taps = decoder_taps(decoder)
    if len(taps) != len(luminance):
        raise ValueError(
            f"the decoder takes {len(taps)} luminance features, but there are {len(luminance)}: "
            "use the luminance encoder that belongs to this VAE"
        )

    def hook(feature: Tensor) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def add(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            part = feature if select is None else select(feature, output)
            return output + part.to(output)

        return add

    with ExitStack() as hooks:
        for tap, feature in zip(taps, luminance, strict=True):
            hooks.callback(tap.register_forward_hook(hook(feature)).remove)
        yield
