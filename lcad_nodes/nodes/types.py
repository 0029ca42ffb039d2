"""The pack's own socket types, and the host's image layout turned into torch's at the edge."""

from comfy_api.latest import io
from torch import Tensor

CATEGORY = "L-CAD"
SHIPPED = "lcad-mini.safetensors"
"""The checkpoint that comes with the pack: what a new node is set to."""
LCADEncoder = io.Custom("LCAD_ENCODER")
LCADLuminance = io.Custom("LCAD_LUMINANCE")
LCADInstances = io.Custom("LCAD_INSTANCES")


class InputError(ValueError):
    """A node's input cannot be used; the message names the input and what would be right."""


def from_image(image: Tensor, name: str = "image") -> Tensor:
    """Take an IMAGE input to torch's layout.

    Args:
        image: BxHxWx3, or BxHxWx1 for gray; values beyond [0, 1], as sharpening and scaling leave,
            are clamped.
        name: the input's name, for the message.

    Returns:
        Bx3xHxW float32 in [0, 1].

    Raises:
        InputError: if it is neither an RGB nor a gray image, or holds NaN or infinity.
    """
    if image.ndim == 4 and image.shape[-1] == 1:
        image = image.expand(-1, -1, -1, 3)
    if image.ndim != 4 or image.shape[-1] != 3 or not image.numel():
        has_alpha = image.ndim == 4 and image.shape[-1] == 4
        raise InputError(
            f"{name} is {' x '.join(map(str, image.shape))}: it must be an RGB image, batch x "
            "height x width x 3"
            + (". 'Split Image with Alpha' takes its alpha channel off" if has_alpha else "")
        )
    low, high = image.aminmax()  # without copies of large scans
    if not (low.isfinite() and high.isfinite()):
        raise InputError(
            f"{name} holds {int((~image.isfinite()).sum())} values that are NaN or infinite: the "
            "node before it made a broken image"
        )
    inside = image if low >= 0 and high <= 1 else image.clamp(0, 1)
    return inside.movedim(-1, 1).float()


def fit_reference(reference: Tensor, pictures: Tensor) -> Tensor:
    """Give every picture its reference.

    Args:
        reference: Bx3xHxW, or 1x3xHxW for all pictures; on any device.
        pictures: Bx3xHxW.

    Returns:
        Bx3xHxW, where the pictures are.

    Raises:
        InputError: if sizes or numbers do not fit.
    """
    if reference.shape[2:] != pictures.shape[2:] or len(reference) not in (1, len(pictures)):
        found, wanted = (
            f"{len(x)} of {x.shape[2]} x {x.shape[3]} px" for x in (reference, pictures)
        )
        raise InputError(
            f"reference is {found}, but image is {wanted} (height x width): they must have one "
            "size, and the reference must be one picture or as many as there are in image"
        )
    return reference.to(pictures.device).expand_as(pictures)


def require(value: object, name: str, instead: str) -> None:
    """Refuse what a checkpoint without that part has put out.

    Raises:
        InputError: if it is None.
    """
    if value is None:
        raise InputError(f"{name} is empty: the checkpoint holds none. Connect {instead}.")


def to_image(pictures: Tensor) -> Tensor:
    """Take Bx3xHxW to the host's IMAGE, BxHxWx3."""
    return pictures.movedim(1, -1)
