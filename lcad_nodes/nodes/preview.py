"""Pictures that nodes show of their own results."""

import colorsys

import torch
from PIL import ImageDraw, ImageFont
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from ..host.instances import Instances

LINE = 24
"""Height of one line of the legend, in px."""


def draw_instances(instances: Instances) -> Tensor:
    """Paint every mask in a color of its own, with a legend of the phrases below.

    Returns:
        An IMAGE, 1xHxWx3 in [0, 1].
    """
    masks = instances.masks
    palette = torch.tensor(
        [colorsys.hsv_to_rgb(i / len(masks), 0.65, 0.95) for i in range(len(masks))]
    )
    canvas = torch.full((3, masks.shape[1] + LINE * len(masks), masks.shape[2]), 0.12)
    for mask, color in zip(masks.cpu(), palette, strict=True):
        area = canvas[:, : mask.shape[0]]
        area += mask.clamp(0, 1) * (color[:, None, None] - area)
    picture = to_pil_image(canvas)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=LINE * 2 // 3)
    for number, (item, color) in enumerate(zip(instances.items, palette.tolist(), strict=True)):
        fill = tuple(round(255 * value) for value in color)
        position = (LINE // 4, masks.shape[1] + LINE * number)
        draw.text(position, f"{number + 1}. {item.phrase}", fill=fill, font=font)
    return pil_to_tensor(picture).movedim(0, -1)[None] / 255
