"""The luminance encoder: the photo's structure as ten feature maps (paper section 3.1)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention, silu

from .checkpoint import LayoutError, count_modules

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Of queries on keys and values over all positions, one head: B x width x H x W each, and back."""
RUNTIME_UNUSED = ("norm_out.", "conv_out.")
"""Tensors that published checkpoints hold for this encoder and that nothing computes with."""
GROUPS = 32
"""Groups of every group norm; all widths are multiples of it."""


def is_luminance(channels: int) -> bool:
    """Tell whether a UNet's input channels beside the latent's can be an encoder's last output.

    Inpainting models and those that edit pictures have 5 and 4.
    """
    return channels > 0 and channels % GROUPS == 0


def network_input(lightness: Tensor) -> Tensor:
    """Scale CIE lightness to what the published weights expect, `L / 127.5 - 1`.

    Args:
        lightness: CIE L, Bx1xHxW in [0, 100].

    Returns:
        Bx3xHxW in [-1, -0.216], the same values in all three channels.
    """
    return (lightness / 127.5 - 1).expand(-1, 3, -1, -1)


def plain_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend as PyTorch does; see `Attention`."""
    queries, keys, values = (x.flatten(2).mT.contiguous()[:, None] for x in (q, k, v))
    return scaled_dot_product_attention(queries, keys, values)[:, 0].mT.reshape(q.shape)


@dataclass(frozen=True)
class LuminanceEncoderConfig:
    """Widths and depth of a luminance encoder.

    Attributes:
        widths: channels of each level, full resolution first; multiples of 32.
        blocks: residual blocks a level.
    """

    widths: tuple[int, ...] = (128, 256, 512, 512)
    blocks: int = 2

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Tensor]) -> "LuminanceEncoderConfig":
        """Read the configuration off the tensors' names and shapes.

        Raises:
            LayoutError: if the tensors are not those of a luminance encoder.
        """
        levels = count_modules(state_dict, "down")
        blocks = count_modules(state_dict, "down.0.block")
        names = [f"down.{level}.zero_conv.0.weight" for level in range(levels)]
        missing = [name for name in names if name not in state_dict]
        if not levels or not blocks or missing:
            raise LayoutError(
                "this is not a luminance encoder: expected down.<level>.block.<n> and "
                f"down.<level>.zero_conv.<n>, but {missing or ['down.0.block.0']} is not there"
            )
        shapes = {name: tuple(state_dict[name].shape) for name in names}
        for name, shape in shapes.items():
            if not shape or not is_luminance(shape[0]):
                raise LayoutError(
                    f"this is not a luminance encoder: {name} is {shape}, but every level's width "
                    f"is a multiple of {GROUPS}"
                )
        return cls(tuple(shape[0] for shape in shapes.values()), blocks)


class ResidualBlock(nn.Module):
    """Two normalized 3x3 convolutions with a shortcut, as in the Stable Diffusion VAE."""

    def __init__(self, inputs: int, outputs: int, operations: Any) -> None:
        super().__init__()
        self.norm1 = operations.GroupNorm(GROUPS, inputs, eps=1e-6)
        self.conv1 = operations.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = operations.GroupNorm(GROUPS, outputs, eps=1e-6)
        self.conv2 = operations.Conv2d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.nin_shortcut = operations.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x inputs x H x W to B x outputs x H x W."""
        h = self.conv1(silu(self.norm1(x)))
        h = self.conv2(silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class SelfAttention(nn.Module):
    """One head over all positions, as in the Stable Diffusion VAE."""

    def __init__(self, width: int, operations: Any, attention: Attention) -> None:
        super().__init__()
        self.attention = attention
        self.norm = operations.GroupNorm(GROUPS, width, eps=1e-6)
        self.q = operations.Conv2d(width, width, 1)
        self.k = operations.Conv2d(width, width, 1)
        self.v = operations.Conv2d(width, width, 1)
        self.proj_out = operations.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x width x H x W to the same shape."""
        h = self.norm(x)
        return x + self.proj_out(self.attention(self.q(h), self.k(h), self.v(h)))


class Downsample(nn.Module):
    """Halve the resolution; padded right and below only, as in the Stable Diffusion VAE."""

    def __init__(self, width: int, operations: Any) -> None:
        super().__init__()
        self.conv = operations.Conv2d(width, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x width x H x W to B x width x H/2 x W/2."""
        return self.conv(pad(x, (0, 1, 0, 1)))


class Level(nn.Module):
    """The residual blocks of one resolution, with the 1x1 convolution that follows each."""

    def __init__(self, inputs: int, outputs: int, blocks: int, last: bool, operations: Any) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            ResidualBlock(inputs if n == 0 else outputs, outputs, operations) for n in range(blocks)
        )
        self.zero_conv = nn.ModuleList(
            operations.Conv2d(outputs, outputs, 1) for _ in range(blocks)
        )
        if not last:
            self.downsample = Downsample(outputs, operations)

    def forward(self, h: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return what the next level reads, and this level's outputs."""
        outputs = []
        for block, zero_conv in zip(self.block, self.zero_conv, strict=True):
            h = block(h)
            outputs.append(zero_conv(h))
        return (self.downsample(h) if hasattr(self, "downsample") else h), outputs


class Middle(nn.Module):
    """Residual block, attention, residual block at the lowest resolution."""

    def __init__(self, width: int, operations: Any, attention: Attention) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(width, width, operations)
        self.attn_1 = SelfAttention(width, operations, attention)
        self.block_2 = ResidualBlock(width, width, operations)


class LuminanceEncoder(nn.Module):
    """Gray photo in, features out that the decoder adds and the UNet reads (paper section 3.1).

    The stack of the Stable Diffusion VAE encoder; a 1x1 convolution after every residual block
    gives one output. Tensor names are those below `first_stage_model.g_encoder.`.
    """

    def __init__(
        self,
        config: LuminanceEncoderConfig,
        operations: Any = nn,
        attention: Attention = plain_attention,
    ) -> None:
        """Build the network.

        Args:
            config: widths and depth.
            operations: where Conv2d and GroupNorm come from: `torch.nn`, or a host's namespace
                of layers that cast their weights as they run.
            attention: PyTorch's, or the one that a host has chosen for VAEs: over all positions of
                a large photo it takes the most memory of all.
        """
        super().__init__()
        self.config = config
        widths = config.widths
        self.conv_in = operations.Conv2d(3, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            Level(widths[max(i - 1, 0)], w, config.blocks, i == len(widths) - 1, operations)
            for i, w in enumerate(widths)
        )
        self.mid = Middle(widths[-1], operations, attention)
        self.zero_conv_mid1 = operations.Conv2d(widths[-1], widths[-1], 1)
        self.zero_conv_mid2 = operations.Conv2d(widths[-1], widths[-1], 1)

    @classmethod
    def from_state_dict(
        cls,
        state_dict: Mapping[str, Tensor],
        operations: Any = nn,
        attention: Attention = plain_attention,
    ) -> "LuminanceEncoder":
        """Build the encoder that a checkpoint holds, and load it.

        Args:
            state_dict: the tensors below `first_stage_model.g_encoder.`, without that prefix.
            operations: see `__init__`.
            attention: see `__init__`.

        Raises:
            LayoutError: if tensors are missing, left over or of another shape.
        """
        config = LuminanceEncoderConfig.from_state_dict(state_dict)
        with torch.device("meta"):  # no memory for what a file claims and does not hold
            encoder = cls(config, operations, attention)
        used = {k: v for k, v in state_dict.items() if not k.startswith(RUNTIME_UNUSED)}
        expected, found = _shapes(encoder.state_dict()), _shapes(used)
        if expected != found:
            name = min(name for name, _ in expected.items() ^ found.items())
            raise LayoutError(
                f"the luminance encoder's tensors do not fit: {name} is "
                f"{found.get(name, 'missing')}, but {expected.get(name, 'none')} belongs there"
            )
        encoder.to_empty(device="cpu").load_state_dict(used)
        return encoder

    def forward(self, hint: Tensor) -> list[Tensor]:
        """Compute the features of gray photos.

        Args:
            hint: Bx3xHxW from `network_input`; H and W multiples of 8 (2 per level but the last).

        Returns:
            `luminance[0..9]`: two a level at H, H/2, H/4, H/8, then two of the middle at H/8.
        """
        features: list[Tensor] = []
        h = self.conv_in(hint)
        for level in self.down:
            h, outputs = level(h)
            features += outputs
        h = self.mid.block_1(h)
        features.append(self.zero_conv_mid1(h))
        h = self.mid.block_2(self.mid.attn_1(h))
        features.append(self.zero_conv_mid2(h))
        return features


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
