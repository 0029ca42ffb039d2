"""What older hosts lack of the node interface, in one place: the same workflow files run on all."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import ParamSpec

from comfy_api.latest import io
from torch import Tensor

NEWER = frozenset({"search_aliases", "has_intermediate_output", "is_dev_only"})
"""Arguments of a schema that only say how a node is found or watched; older hosts have none."""
FIXED = 10
"""Inputs that a growing list has on a host where lists do not grow."""

P = ParamSpec("P")


def _without_newer(make: Callable[P, io.Schema]) -> Callable[P, io.Schema]:
    unknown = NEWER - {field.name for field in fields(io.Schema)}

    def schema(*args: P.args, **kwargs: P.kwargs) -> io.Schema:
        for name in unknown:
            kwargs.pop(name, None)
        return make(*args, **kwargs)

    return schema


schema = _without_newer(io.Schema)
"""`io.Schema`, without the arguments that the running host does not know yet."""


def growing(name: str, each: io.Input, prefix: str, most: int, tooltip: str) -> list[io.Input]:
    """Describe a list of one or more inputs that grows as it is filled.

    Its inputs are `name.prefix0`, `name.prefix1` and so on in workflow files; where the host's
    lists do not grow there are `FIXED` of them, only the first of which is required.

    Args:
        name: of the list.
        each: what its inputs are like.
        prefix: of their names.
        most: how many there can be.
        tooltip: of the list.
    """
    if hasattr(io, "Autogrow"):
        template = io.Autogrow.TemplatePrefix(each, prefix=prefix, min=1, max=most)
        return [io.Autogrow.Input(name, template=template, tooltip=tooltip)]
    return [_numbered(each, f"{name}.{prefix}{number}", number > 0) for number in range(FIXED)]


def _numbered(each: io.Input, name: str, optional: bool) -> io.Input:
    numbered = copy.copy(each)
    numbered.id = name
    numbered.optional = optional
    return numbered


def grown(inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """List a growing list's values in its own order, whatever order a workflow file has them in.

    Args:
        inputs: values by names that end in their number.
    """

    def number(name: str) -> int:
        return int(name.rpartition("_")[2])

    return [inputs[name] for name in sorted(inputs, key=number)]
