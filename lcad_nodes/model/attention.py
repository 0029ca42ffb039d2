"""Where in the photo the words of a phrase are read: cross-attention as maps (section 3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import interpolate


@dataclass
class MapSum:
    """A sum of maps, and of how many."""

    total: Tensor = field(default_factory=lambda: torch.zeros(()))
    count: int = 0

    def add(self, total: Tensor, count: int) -> None:
        """Add another sum."""
        self.total = self.total.to(total) + total
        self.count += count


@dataclass
class AttentionRecorder:
    """Averages attention on phrases over heads, layers and steps of a sampler.

    It holds two sets of maps, however many layers and steps there are.

    Attributes:
        size: height and width of the maps.
        step: the only step that counts, from 1; 0: all of them.
        last_step: the last that ended.
    """

    size: tuple[int, int]
    step: int
    last_step: int = field(init=False, default=0)
    _kept: MapSum = field(init=False, default_factory=MapSum)
    _current: MapSum = field(init=False, default_factory=MapSum)

    def observe(self, logits: Tensor, grid: Sequence[int], marks: Tensor) -> None:
        """Take in one layer's attention.

        Args:
            logits: B x heads x positions x tokens, before the softmax; the last dimension may be
                a multiple of the encoded prompt's length.
            grid: height and width of the layer's positions.
            marks: the phrases' tokens, from `mark_tokens`, where the logits are.
        """
        weights = logits.softmax(dim=-1).mean(dim=1)
        once = weights.unflatten(-1, (-1, marks.shape[1])).sum(dim=-2)
        maps = (marks @ once.mT).unflatten(-1, tuple(grid))
        self._current.add(interpolate(maps, self.size, mode="bilinear"), 1)

    def end_step(self, number: int) -> None:
        """End a step of the sampler; the first is 1."""
        if self.step in (0, number):
            self._kept.add(self._current.total, self._current.count)
        self._current = MapSum()
        self.last_step = number

    def maps(self) -> Tensor:
        """Average what the steps that count have given.

        Returns:
            B x phrases x height x width: the share of its attention, in [0, 1], that a position
            gives to a phrase's tokens.

        Raises:
            LookupError: if there was no such step, or no attention in it.
        """
        if not self._kept.count:
            raise LookupError("no attention was seen")
        return self._kept.total / self._kept.count
