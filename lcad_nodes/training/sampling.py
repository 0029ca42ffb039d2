"""Sampling as training shows it: DDIM with classifier-free guidance, fixed seeds."""

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from ..model.patch import LATENT_CHANNELS
from .networks import conditioned_input
from .noise import draws

STEPS = 20
GUIDANCE = 3.0

SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}
"""Stable Diffusion's."""


@torch.no_grad()
def sample(unet: UNet2DConditionModel, luminance: Tensor, context: Tensor, empty: Tensor) -> Tensor:
    """Sample color latents, picture n always from the same noise.

    Args:
        unet: with the extended first convolution.
        luminance: luminance[9], BxCxhxw; the same with and without description.
        context: the encoded descriptions, Bx77xC.
        empty: the encoded empty description, 1x77xC.

    Returns:
        Bx4xhxw, scaled.
    """
    schedule = DDIMScheduler(**SCHEDULE, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    schedule.set_timesteps(STEPS)
    count, _, *extent = luminance.shape
    _, noise = draws(torch.arange(count), torch.Size((count, LATENT_CHANNELS, *extent)), 0)
    latent = noise.to(luminance)
    both = torch.cat([context, empty.expand_as(context)])
    for t in schedule.timesteps:
        inputs = conditioned_input(latent, luminance).repeat(2, 1, 1, 1)
        described, plain = unet(inputs, t, both).sample.float().chunk(2)
        guided = plain + GUIDANCE * (described - plain)
        latent = schedule.step(guided, int(t), latent).prev_sample  # pyright: ignore
    return latent
