"""Which basic term a color is, one alone; what the pack asks is whether it counts as a term."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lcad_nodes.color.names import TERMS, terms_at


def nearest_term(lab: Sequence[float] | Tensor) -> str:
    """The term nearest in a*b* at a color's own lightness; of the neutral ones, lightness tells."""
    lightness, *ab = torch.as_tensor(lab, dtype=torch.float32).flatten()
    distances = (terms_at(lightness[None])[0] - torch.stack(ab)).norm(dim=1)
    term = TERMS[int(distances.argmin())]
    if term != "black":
        return term
    return "black" if lightness < 30 else "gray" if lightness < 75 else "white"
