"""What stage 1's pictures are judged by: LPIPS, and a discriminator with its adaptive weight."""

from pathlib import Path
from typing import Any

import torch
from accelerate.utils import reduce
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import relu

from ..model.checkpoint import LayoutError
from .checkpoints import read_tensors
from .config import ConfigError

VGG16 = [
    (i, k) for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28) for k in ("weight", "bias")
]
"""Places of its convolutions."""


class Discriminator(nn.Module):
    """PatchGAN: a logit for every patch of about 70x70 px.

    Normalized per picture and not, as often, over the batch, so that it does not matter over how
    many processes or passes a batch is spread.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width, 8 * width)
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for inputs, outputs, stride in zip(widths, widths[1:], (2, 2, 1), strict=False):
            layers += [
                nn.Conv2d(inputs, outputs, 4, stride, 1, bias=False),
                nn.GroupNorm(32, outputs),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Map Bx3xHxW in [-1, 1] to Bx1xhxw logits, high for what looks real; H, W at least 24."""
        return self.layers(image)

    def judge(self, image: Tensor) -> Tensor:
        """Do the same without learning from it: gradients reach the image alone."""
        fixed = {name: value.detach() for name, value in self.named_parameters()}
        return functional_call(self, fixed, (image,))


def hinge(real: Tensor, decoded: Tensor) -> Tensor:
    """Compute the discriminator's loss from its logits of real and decoded pictures."""
    return 0.5 * (relu(1 - real).mean() + relu(1 + decoded).mean())


def adaptive_weight(
    reconstruction: Tensor, adversarial: Tensor, last: Tensor, values: int
) -> Tensor:
    """Compute how much larger the one loss's gradient is than the other's, as VQGAN does.

    It is that of the batches of all processes together, which must all be here.

    Args:
        reconstruction: scalar.
        adversarial: scalar.
        last: the decoder's last weights, by which both have gradients.
        values: numbers that the decoder gave, of which both are means.
    """
    scale = values / 4096  # half precision would take the many values' small gradients for zero
    slopes = [
        torch.autograd.grad(scale * loss, last, retain_graph=True)[0] / scale
        for loss in (reconstruction, adversarial)
    ]
    means: Any = reduce(torch.stack(slopes), "mean")
    first, second = means.flatten(1).norm(dim=1)
    return (first / (second + 1e-4)).clamp(0, 1e4)


def load_lpips(backbone: Path) -> nn.Module:
    """Build LPIPS on VGG 16; its own few weights are in its package.

    Args:
        backbone: torchvision's VGG 16, `.pth` or `.safetensors`; nothing is downloaded.

    Raises:
        ConfigError: if the file cannot be read, or is not VGG 16.
    """
    from lpips import LPIPS

    try:
        tensors = read_tensors(backbone)
        convolutions = [tensors[f"features.{index}.{kind}"] for index, kind in VGG16]
        network: Any = LPIPS(net="vgg", pnet_rand=True, verbose=False)
        # Its names are slice<n>.<index>.weight, where torchvision has features.<index>.weight.
        network.net.load_state_dict(dict(zip(network.net.state_dict(), convolutions, strict=True)))
    except (LayoutError, KeyError, RuntimeError) as error:
        raise ConfigError(f"lpips_backbone: {backbone} is not VGG 16's weights: {error}") from error
    return network.requires_grad_(False).eval()
