"""ControlNet's hints on the photo: squeezed and padded as it is."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor

from ..model.geometry import Geometry, in_proportion

GEOMETRY_KEY = "lcad_geometry"
"""Where a conditioning carries how the photo lies in the latent."""


@contextmanager
def hints_placed(conds: Iterable[Mapping[str, Any]]) -> Iterator[None]:
    """Have the ControlNets of prompts see their hints where the photo is.

    By itself the host cuts a hint's sides off where the latent, into which the photo is squeezed,
    has other proportions. Hints that have not the photo's are left to it.

    Args:
        conds: the prompts' values; of those without a photo, hints are left alone.
    """
    own: list[tuple[Any, Tensor, list[Any]]] = []
    try:
        for cond in conds:
            for control in _chain(cond.get("control") if GEOMETRY_KEY in cond else None):
                if any(control is one for one, _, _ in own):
                    continue
                own.append((control, control.cond_hint_original, control.extra_concat_orig))
                _place(control, cond[GEOMETRY_KEY])
        yield
    finally:
        for control, hint, beside in own:
            control.cond_hint_original, control.extra_concat_orig = hint, beside


def _chain(control: Any) -> Iterator[Any]:
    """A ControlNet, its copies on other devices, and those that were applied before it."""
    while control is not None:
        yield control
        yield from getattr(control, "multigpu_clones", {}).values()  # not in older hosts
        control = control.previous_controlnet


def _place(control: Any, geometry: Geometry) -> None:
    mode = "nearest-exact" if control.upscale_algorithm == "nearest-exact" else "bilinear"

    def placed(hint: Any) -> Any:
        if not isinstance(hint, Tensor) or hint.ndim != 4:
            return hint
        size = hint.shape[2], hint.shape[3]
        if not in_proportion(size, geometry.original):
            return hint
        return replace(geometry, original=size).place(hint, mode)

    control.cond_hint_original = placed(control.cond_hint_original)
    control.extra_concat_orig = [placed(part) for part in control.extra_concat_orig]
