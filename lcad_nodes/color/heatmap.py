"""Values as colors, to be looked at."""

from torch import Tensor

COLORS = 256


def heat(values: Tensor) -> Tensor:
    """Show values as heat: black, red, yellow, white.

    Args:
        values: B,1,H,W in [0, 1].

    Returns:
        B,3,H,W sRGB in [0, 1].
    """
    from kornia.color import ColorMap, ColorMapType, apply_colormap

    palette = ColorMap(ColorMapType.hot, num_colors=COLORS, device=values.device)
    return apply_colormap(values, palette)
