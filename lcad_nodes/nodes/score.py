"""The node that measures pictures."""

# The host calls `execute` with a node's own inputs.
# pyright: reportIncompatibleMethodOverride=false

import json
from collections.abc import Iterable
from math import isfinite

from comfy_api.latest import io, ui
from torch import Tensor
from torchvision.transforms.functional import resize

from ..color.measures import color_difference, colorfulness, psnr, ssim
from ..color.names import judge_objects
from ..host.instances import Instances
from .compat import schema
from .types import CATEGORY, LCADInstances, fit_reference, from_image

NETWORKS = (
    "need trained networks that ComfyUI does not have; where they are on the disk, "
    "`python -m lcad_nodes.evaluation compare` measures them"
)
DECIMALS = {
    "psnr": 2,
    "ssim": 4,
    "lpips": 4,
    "fid": 2,
    "clip_score": 2,
    "delta_e2000": 2,
    "colorfulness": 2,
    "color_accuracy": 3,
    "binding": 3,
}
"""The figures, in the table's order, and how many decimals each gets there."""
NEEDS = {
    "need a reference": ("psnr", "ssim", "delta_e2000"),
    NETWORKS: ("lpips", "fid", "clip_score"),
    "needs instances whose phrases name a basic color": ("color_accuracy",),
    "needs instances whose phrases name two basic colors or more": ("binding",),
}
"""Why cells are empty."""

Figures = dict[str, float | None]


class Score(io.ComfyNode):
    """LCAD_Score."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="LCAD_Score",
            display_name="Score Picture (L-CAD)",
            category=CATEGORY,
            description="Measures how close a picture comes to the true one, how colorful it is, "
            "and which objects got the color named.",
            search_aliases=["psnr", "ssim", "metrics", "compare images", "colorfulness"],
            inputs=[
                io.Image.Input("image", tooltip="The picture to measure."),
                io.Image.Input(
                    "reference",
                    optional=True,
                    tooltip="The true picture, of the same size; one, or as many as there are "
                    "pictures. Without it PSNR, SSIM and the color difference stay empty.",
                ),
                LCADInstances.Input(
                    "instances",
                    optional=True,
                    tooltip="Phrases with masks, from 'Describe Objects (L-CAD)': of those that "
                    "name one of the eleven basic colors, the share that got it.",
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="figures",
                    tooltip="JSON: one object of figures a picture, null for what is empty.",
                ),
                io.String.Output(display_name="table", tooltip="The same as a Markdown table."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, image: Tensor, reference: Tensor | None = None, instances: Instances | None = None
    ) -> io.NodeOutput:
        """Measure every picture."""
        pictures = from_image(image)
        truths: Iterable[Tensor | None] = [None] * len(pictures)
        if reference is not None:
            truths = fit_reference(from_image(reference, "reference"), pictures)
        pairs = zip(pictures, truths, strict=True)
        figures = [_measure(picture, truth, instances) for picture, truth in pairs]
        table = f"{_table(figures)}\n\n{_reasons(figures)}"
        text = json.dumps([_without_infinity(found) for found in figures])
        return io.NodeOutput(text, table, ui=ui.PreviewText(table))


def _measure(picture: Tensor, truth: Tensor | None, instances: Instances | None) -> Figures:
    figures: Figures = dict.fromkeys(DECIMALS)
    if truth is not None:
        pair = picture[None], truth[None]
        values = psnr(*pair), ssim(*pair, peak=1.0), color_difference(*pair)
        figures |= zip(("psnr", "ssim", "delta_e2000"), map(float, values), strict=True)
    figures["colorfulness"] = float(colorfulness(picture[None]))
    return figures | (_by_objects(picture, instances) if instances else {})


def _without_infinity(figures: Figures) -> Figures:
    """The PSNR of a picture that is its own reference is infinite, for which JSON has no word."""
    return {name: v if v is not None and isfinite(v) else None for name, v in figures.items()}


def _by_objects(picture: Tensor, instances: Instances) -> Figures:
    """The share of objects that got the color that their phrase names, where some name one.

    It tells of binding where they name different ones.
    """
    instances.check_size((picture.shape[1], picture.shape[2]))
    # Smoothly: a small mask of a larger photo keeps some weight.
    judged = judge_objects(
        picture,
        (
            (item.phrase, resize(item.mask[None], [*picture.shape[1:]])[0].to(picture))
            for item in instances.items
        ),
    )
    share = sum(right for _, right in judged) / len(judged) if judged else None
    several = len({color for color, _ in judged}) > 1
    return {"color_accuracy": share, "binding": share if several else None}


def _table(figures: list[Figures]) -> str:
    rows = [["picture", *DECIMALS], ["---"] * (len(DECIMALS) + 1)]
    for number, found in enumerate(figures, start=1):
        cells = (found[name] for name in DECIMALS)
        forms = DECIMALS.values()
        rows.append(
            [
                str(number),
                *("" if v is None else f"{v:.{d}f}" for v, d in zip(cells, forms, strict=True)),
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _reasons(figures: list[Figures]) -> str:
    """A line for every reason that leaves cells empty."""
    empty = {name for found in figures for name, value in found.items() if value is None}
    return "\n".join(
        f"- {', '.join(names)}: {reason}" for reason, names in NEEDS.items() if {*names} & empty
    )
