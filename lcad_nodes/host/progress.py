"""A node's progress bar in the page; wherever it moves, the user's cancelling takes effect."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count

import comfy.model_management as management
import comfy.utils
from torch import nn

PARTS = 100
"""What the bar shows of one stage."""


class Progress:
    """A bar over stages of work that are gone through one after another.

    Args:
        stages: how many there are.
    """

    def __init__(self, stages: int) -> None:
        self._bar = comfy.utils.ProgressBar(PARTS * stages)
        self._done = 0

    def __call__(self, share: float) -> None:
        """Show how much of the present stage is done, in [0, 1]."""
        # The bar itself asks only now and then whether the user has cancelled.
        management.throw_exception_if_processing_interrupted()
        self._bar.update_absolute(PARTS * self._done + round(PARTS * share))

    def end_stage(self) -> None:
        """Go on to the next stage."""
        self(1.0)
        self._done += 1


@contextmanager
def watching(modules: Sequence[nn.Module], progress: Callable[[float], None]) -> Iterator[None]:
    """Report how many of the modules have run, for as long as the context lasts."""
    numbers = count(1)
    with ExitStack() as hooks:
        for module in modules:
            handle = module.register_forward_hook(
                lambda *_call: progress(next(numbers) / len(modules))
            )
            hooks.callback(handle.remove)
        yield
