"""ControlNet's hints on the photo: squeezed and padded as it is."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from math import log
from typing import Any

from comfy.controlnet import ControlLora
from torch import Tensor

from ..model.geometry import Geometry, Scaling, Size
from .errors import ConditioningError

GEOMETRY_KEY = "lcad_geometry"
"""Where a conditioning carries how the photo lies in the latent."""


NEARLY = 0.1
"""Largest difference of two proportions, as a logarithm, that counts as a matter of rounding."""


@contextmanager
def hints_placed(conds: Iterable[Mapping[str, Any]]) -> Iterator[None]:
    """Have the ControlNets of prompts see their hints where the photo is.

    By itself the host cuts a hint's sides off where the latent, into which the photo is squeezed,
    has other proportions. Preprocessors round sides, so a hint is the photo's if its proportions
    are `NEARLY` the photo's, and nearer to them than to the latent's. Others are left to the host.

    Args:
        conds: the prompts' values; of those without a photo, hints are left alone.

    Raises:
        ConditioningError: if there is a Control-LoRA among them.
    """
    own: dict[int, tuple[Any, Tensor, list[Any]]] = {}
    try:
        for cond in conds:
            for control in _chain(cond.get("control") if GEOMETRY_KEY in cond else None):
                if id(control) not in own:
                    given = control, control.cond_hint_original, control.extra_concat_orig
                    own[id(control)] = given
                    _give(*given, cond[GEOMETRY_KEY])
        yield
    finally:
        for given in own.values():
            _give(*given, None)


def _chain(control: Any) -> Iterator[Any]:
    """A ControlNet and those that were applied before it.

    Raises:
        ConditioningError: if one is a Control-LoRA: its own convolution reads the latent alone, but
            the host builds it as wide as the model's, which reads luminance, too.
    """
    while control is not None:
        if isinstance(control, ControlLora):
            raise ConditioningError(
                "Control-LoRAs borrow the model's own first convolution, which reads the photo's "
                "luminance here: use a whole ControlNet"
            )
        yield control
        control = control.previous_controlnet


def _give(control: Any, hint: Tensor, beside: list[Any], geometry: Geometry | None) -> None:
    """Give a ControlNet and its copies on other devices its hint, where a geometry places it.

    What was made of another hint is forgotten: the host keeps it where a run was interrupted.
    """
    if geometry is not None:
        mode = "nearest-exact" if control.upscale_algorithm == "nearest-exact" else "bilinear"
        hint, *beside = (_placed(part, geometry, mode) for part in (hint, *beside))
    clones = getattr(control, "multigpu_clones", {})  # which older hosts have not
    for one in (control, *clones.values()):
        one.cond_hint_original, one.extra_concat_orig = hint, list(beside)
        one.cond_hint = one.extra_concat = None


def _placed(hint: Any, geometry: Geometry, mode: Scaling) -> Any:
    if not isinstance(hint, Tensor) or hint.ndim != 4:
        return hint
    size = hint.shape[2], hint.shape[3]
    off_photo, off_latent = (_off(size, other) for other in (geometry.original, geometry.padded))
    if off_photo > min(off_latent, NEARLY):
        return hint
    return replace(geometry, original=size).place(hint, mode)


def _off(size: Size, other: Size) -> float:
    return abs(log(size[0] * other[1] / (size[1] * other[0])))
