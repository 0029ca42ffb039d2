"""A VAE decoder run in tiles for small memory, with the result of one piece.

Only two things in a decoder look at the whole picture: the attention in its middle, which runs at
the lowest resolution and in one piece, and the group norms. Above the middle one residual block
after another is run over all tiles, each tile with the margin that its pixels depend on. A norm's
statistics are gathered from all tiles before any tile is normalized. Between blocks the whole
activation lies in main memory.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import count, product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .decoding import add_luminance

MARGIN = 2
"""Positions around a tile that a stage's result depends on: one a convolution."""


class Span(NamedTuple):
    """A tile along one axis, in positions of a stage's input.

    Attributes:
        start: first position that the tile is for.
        stop: the one after its last.
        first: first position that it is computed from, margin and all.
        last: the one after the last of those.
    """

    start: int
    stop: int
    first: int
    last: int


class Tile(NamedTuple):
    """One tile: its rows and its columns."""

    rows: Span
    columns: Span

    def with_margin(self, whole: Tensor, scale: int) -> Tensor:
        """Cut tile and margin out of a map `scale` times finer than the stage's input."""
        rows, columns = (slice(span.first * scale, span.last * scale) for span in self)
        return whole[:, :, rows, columns]

    def without_margin(self, part: Tensor) -> Tensor:
        """Cut the margin off."""
        scale = self.scale(part)
        rows, columns = (
            slice((span.start - span.first) * scale, (span.stop - span.first) * scale)
            for span in self
        )
        return part[:, :, rows, columns]

    def write(self, whole: Tensor, part: Tensor) -> None:
        """Write the tile into its place, its margin cut off."""
        scale = self.scale(part)
        rows, columns = (slice(span.start * scale, span.stop * scale) for span in self)
        whole[:, :, rows, columns] = self.without_margin(part)

    def scale(self, part: Tensor) -> int:
        """Tell how many times finer than the stage's input a map of tile and margin is."""
        return part.shape[2] // (self.rows.last - self.rows.first)


class Stage(NamedTuple):
    """Modules that run one after another on a tile, the group norms in them, and where."""

    modules: tuple[nn.Module, ...]
    norms: tuple[nn.Module, ...]
    device: torch.device


@dataclass
class Statistics:
    """Mean and variance of one group norm's groups, over all tiles.

    Attributes:
        count: values a group.
        total: their sum, B x groups.
        squares: the sum of their squares, B x groups.
    """

    count: int = 0
    total: Tensor = field(default_factory=lambda: torch.zeros(()))
    squares: Tensor = field(default_factory=lambda: torch.zeros(()))

    def add(self, x: Tensor, groups: int) -> None:
        """Take one tile's values in, BxCxHxW without margin."""
        values = x.float().reshape(x.shape[0], groups, -1)
        spread = torch.var_mean(values, -1, correction=0)
        variance, mean = (part.cpu().double() for part in spread)
        self.count += values.shape[-1]
        self.total = self.total + mean * values.shape[-1]
        self.squares = self.squares + (variance + mean * mean) * values.shape[-1]

    def normalize(self, x: Tensor, norm: nn.GroupNorm) -> Tensor:
        """Normalize BxCxHxW as `norm` does, with these statistics in place of the tile's."""
        mean = self.total / self.count
        deviation = (self.squares / self.count - mean * mean + norm.eps).sqrt()
        channels = norm.num_channels // norm.num_groups
        mean, deviation = (v.repeat_interleave(channels, 1) for v in (mean, deviation))
        scale = norm.weight.cpu().to(mean) / deviation
        shift = norm.bias.cpu().to(mean) - mean * scale
        scale, shift = (v[..., None, None].to(x.device, torch.float32) for v in (scale, shift))
        return torch.addcmul(shift, x, scale).to(x)


class Gathered(Exception):  # noqa: N818 (no error)
    """A tile has come as far as the norm that statistics are gathered for."""


@dataclass
class SharedNorms:
    """In place of a stage's group norms, as a forward hook: one set of statistics for all tiles.

    Attributes:
        tile: the tile that is worked on.
        known: the statistics that are complete, by norm.
        gathered: those of the first norm that is not among them, as far as they have come.
    """

    tile: Tile
    known: dict[nn.Module, Statistics] = field(default_factory=dict)
    gathered: Statistics = field(default_factory=Statistics)

    def __call__(self, norm: Any, inputs: tuple[Tensor], _output: Tensor) -> Tensor:
        """Normalize with complete statistics; else gather them, and the tile ends here."""
        (x,) = inputs
        if norm in self.known:
            return self.known[norm].normalize(x, norm)
        self.gathered.add(self.tile.without_margin(x), norm.num_groups)
        raise Gathered

    def cut(self, feature: Tensor, activation: Tensor) -> Tensor:
        """Cut the current tile and its margin out of a luminance feature."""
        return self.tile.with_margin(feature, self.tile.scale(activation))


def decode_in_tiles(
    decoder: nn.Module,
    latent: Tensor,
    luminance: Sequence[Tensor],
    tile_size: int,
    progress: Callable[[float], None],
) -> Tensor:
    """Decode a latent with the photo's luminance, tile by tile (paper section 3.1).

    Args:
        decoder: a VAE decoder in the Stable Diffusion layout.
        latent: BxCxhxw as the decoder takes it, on the decoder's device.
        luminance: the encoder's ten outputs.
        tile_size: side of a tile in px of the picture.
        progress: told after every tile which share of the work is done, in [0, 1].

    Returns:
        Bx3xHxW in about [-1, 1], in main memory; differs from the decoder's own result by
        rounding alone.
    """
    stages = list(_stages(decoder, latent.device))
    with add_luminance(decoder, luminance):
        x = _middle(decoder, latent).cpu()
    height = x.shape[2] * 2 ** (len(_levels(decoder)) - 1)
    for number, stage in enumerate(stages):

        def in_stage(share: float, before: int = number) -> None:
            progress((before + share) / len(stages))

        tiles = _tiles(x, max(1, tile_size * x.shape[2] // height))
        x = _run_stage(decoder, stage, x, luminance, tiles, in_stage)
    return x


def _run_stage(
    decoder: nn.Module,
    stage: Stage,
    x: Tensor,
    luminance: Sequence[Tensor],
    tiles: list[Tile],
    progress: Callable[[float], None],
) -> Tensor:
    """Run one stage over all tiles, once more for every norm's statistics: whole to whole."""
    shared = SharedNorms(tiles[0])
    runs = count(1)
    total = len(tiles) * (len(stage.norms) + 1)
    with ExitStack() as hooks:
        hooks.enter_context(add_luminance(decoder, luminance, shared.cut))
        for norm in stage.norms:
            hooks.callback(norm.register_forward_hook(shared).remove)
        for norm in stage.norms:
            for shared.tile in tiles:
                with suppress(Gathered):
                    _run_tile(stage, shared.tile.with_margin(x, 1))
                progress(next(runs) / total)
            shared.known[norm] = shared.gathered
            shared.gathered = Statistics()
        result = x.new_empty(0)
        for shared.tile in tiles:
            part = _run_tile(stage, shared.tile.with_margin(x, 1)).cpu()
            if not result.numel():
                scale = shared.tile.scale(part)
                size = (x.shape[0], part.shape[1], x.shape[2] * scale, x.shape[3] * scale)
                result = part.new_empty(size)
            shared.tile.write(result, part)
            progress(next(runs) / total)
    return result


def _run_tile(stage: Stage, part: Tensor) -> Tensor:
    part = part.to(stage.device)
    for module in stage.modules:
        part = module(part)
    return part


def _stages(decoder: Any, device: torch.device) -> Iterator[Stage]:
    """Cut what comes after the middle into stages; a level's upsampling goes with what follows."""
    upsample: tuple[nn.Module, ...] = ()
    for level in _levels(decoder):
        for block in level.block:
            yield Stage((*upsample, block), (block.norm1, block.norm2), device)
            upsample = ()
        upsample = (level.upsample,) if hasattr(level, "upsample") else ()
    yield Stage((decoder.norm_out, nn.SiLU(), decoder.conv_out), (decoder.norm_out,), device)


def _middle(decoder: Any, latent: Tensor) -> Tensor:
    h = decoder.mid.block_1(decoder.conv_in(latent))
    return decoder.mid.block_2(decoder.mid.attn_1(h))


def _levels(decoder: Any) -> list[Any]:
    """List the decoder's levels, lowest resolution first."""
    return list(reversed(decoder.up))


def _tiles(x: Tensor, size: int) -> list[Tile]:
    rows, columns = (_spans(length, size) for length in x.shape[2:])
    return [Tile(*spans) for spans in product(rows, columns)]


def _spans(length: int, size: int) -> list[Span]:
    ends = [(start, min(start + size, length)) for start in range(0, length, size)]
    return [Span(a, b, max(a - MARGIN, 0), min(b + MARGIN, length)) for a, b in ends]
