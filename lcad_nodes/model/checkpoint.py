"""The checkpoint's layout: which tensors belong to which network, and their diffusers names.

Published checkpoints and ComfyUI name tensors as Stable Diffusion's own code does; training runs
on diffusers. Both directions are renamings, exact to the bit; the VAE's four attention matrices
are 1x1 convolutions on one side and linear layers on the other.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields

from torch import Tensor

StateDict = dict[str, Tensor]


class LayoutError(ValueError):
    """A checkpoint's tensors are not laid out as expected; the message says what was found."""


@dataclass(frozen=True)
class CheckpointParts:
    """A checkpoint's tensors by network, each without its prefix; empty if it holds none."""

    unet: StateDict
    vae: StateDict
    encoder: StateDict
    text: StateDict


PREFIXES = {
    "unet": "model.diffusion_model.",
    "encoder": "first_stage_model.g_encoder.",
    "vae": "first_stage_model.",
    "text": "cond_stage_model.transformer.",
}
"""Where each part's tensors are; the luminance encoder lies inside the VAE, so it goes first."""


TRAINING_ONLY = "first_stage_model.loss."
"""Where a checkpoint may hold the networks that its autoencoder was judged by in training."""


def split(state_dict: Mapping[str, Tensor]) -> CheckpointParts:
    """Sort a checkpoint's tensors into its networks.

    What a published file holds beside them is dropped: schedule buffers, the averaged UNet
    (`model_ema.*`) and the networks of the training losses.
    """
    parts: dict[str, StateDict] = {part: {} for part in PREFIXES}
    for name, tensor in state_dict.items():
        for part, prefix in PREFIXES.items():
            if name.startswith(prefix) and not name.startswith(TRAINING_ONLY):
                parts[part][name.removeprefix(prefix)] = tensor
                break
    return CheckpointParts(**parts)


def join(parts: CheckpointParts) -> StateDict:
    """Put the networks' tensors together into one checkpoint; the inverse of `split`."""
    return {
        PREFIXES[field.name] + name: tensor
        for field in fields(parts)
        for name, tensor in getattr(parts, field.name).items()
    }


CROSS_ATTENTION = re.compile(r"attn2[._]to_k\.(weight|(lora_down|lora_A|lora\.down)\.weight)$")
"""A weight that reads the prompt, in any layout of a UNet, or of a LoRA for it."""
FAMILY = "Stable Diffusion 1.x"
"""The models that can be luminance-conditioned."""
FAMILIES = {
    768: FAMILY,
    1024: "Stable Diffusion 2.x",
    1280: "the refiner of Stable Diffusion XL",
    2048: "Stable Diffusion XL",
}
"""Families of models by how wide their encoded prompts are."""


def family(tensors: Mapping[str, Tensor]) -> str:
    """Name the family that a UNet or a LoRA is of, in any layout; empty where no tensor tells."""
    widths = (t.shape[-1] for name, t in tensors.items() if CROSS_ATTENTION.search(name))
    return FAMILIES.get(next(widths, 0), "")


def is_lora(names: Iterable[str]) -> bool:
    """Tell a LoRA by the names of its tensors."""
    return any("lora" in name for name in names)


def count_modules(names: Iterable[str], prefix: str) -> int:
    """Count the modules `prefix.0`, `prefix.1`, ... that the tensors' names speak of."""
    depth = prefix.count(".") + 1
    indices = {
        int(index)
        for name in names
        if name.startswith(prefix + ".") and (index := name.split(".")[depth]).isdecimal()
    }
    return len(indices)


# Names inside one module: Stable Diffusion's, then diffusers'.
_UNET_RESIDUAL = (
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
)
_VAE_RESIDUAL = (
    ("norm1", "norm1"),
    ("conv1", "conv1"),
    ("norm2", "norm2"),
    ("conv2", "conv2"),
    ("nin_shortcut", "conv_shortcut"),
)
_VAE_ATTENTION = (
    ("norm", "group_norm"),
    ("q", "to_q"),
    ("k", "to_k"),
    ("v", "to_v"),
    ("proj_out", "to_out.0"),
)

Pair = tuple[str, str]


def _inside(original: str, diffusers: str, names: Iterable[Pair]) -> Iterator[Pair]:
    for a, b in names:
        yield f"{original}.{a}", f"{diffusers}.{b}"


def _unet_pairs(levels: int, blocks: int, attention: tuple[bool, ...]) -> Iterator[Pair]:
    """Yield (Stable Diffusion, diffusers) names of the UNet's modules."""
    yield "time_embed.0", "time_embedding.linear_1"
    yield "time_embed.2", "time_embedding.linear_2"
    yield "input_blocks.0.0", "conv_in"
    yield "out.0", "conv_norm_out"
    yield "out.2", "conv_out"
    yield from _inside("middle_block.0", "mid_block.resnets.0", _UNET_RESIDUAL)
    yield "middle_block.1", "mid_block.attentions.0"
    yield from _inside("middle_block.2", "mid_block.resnets.1", _UNET_RESIDUAL)
    for level in range(levels):
        for n in range(blocks):
            here, there = f"input_blocks.{level * (blocks + 1) + n + 1}", f"down_blocks.{level}"
            yield from _inside(f"{here}.0", f"{there}.resnets.{n}", _UNET_RESIDUAL)
            if attention[level]:
                yield f"{here}.1", f"{there}.attentions.{n}"
        if level < levels - 1:
            here = f"input_blocks.{(level + 1) * (blocks + 1)}.0.op"
            yield here, f"down_blocks.{level}.downsamplers.0.conv"
    for up in range(levels):
        level = levels - 1 - up
        for n in range(blocks + 1):
            here, there = f"output_blocks.{up * (blocks + 1) + n}", f"up_blocks.{up}"
            yield from _inside(f"{here}.0", f"{there}.resnets.{n}", _UNET_RESIDUAL)
            if attention[level]:
                yield f"{here}.1", f"{there}.attentions.{n}"
        if level > 0:
            here = f"output_blocks.{(up + 1) * (blocks + 1) - 1}.{2 if attention[level] else 1}"
            yield f"{here}.conv", f"up_blocks.{up}.upsamplers.0.conv"


def _vae_pairs(levels: int, encoder_blocks: int, decoder_blocks: int) -> Iterator[Pair]:
    """Yield (Stable Diffusion, diffusers) names of the VAE's modules."""
    yield "quant_conv", "quant_conv"
    yield "post_quant_conv", "post_quant_conv"
    for half in ("encoder", "decoder"):
        yield f"{half}.conv_in", f"{half}.conv_in"
        yield f"{half}.norm_out", f"{half}.conv_norm_out"
        yield f"{half}.conv_out", f"{half}.conv_out"
        here, there = f"{half}.mid", f"{half}.mid_block"
        yield from _inside(f"{here}.block_1", f"{there}.resnets.0", _VAE_RESIDUAL)
        yield from _inside(f"{here}.attn_1", f"{there}.attentions.0", _VAE_ATTENTION)
        yield from _inside(f"{here}.block_2", f"{there}.resnets.1", _VAE_RESIDUAL)
    for level in range(levels):
        here, there = f"encoder.down.{level}", f"encoder.down_blocks.{level}"
        for n in range(encoder_blocks):
            yield from _inside(f"{here}.block.{n}", f"{there}.resnets.{n}", _VAE_RESIDUAL)
        yield f"{here}.downsample.conv", f"{there}.downsamplers.0.conv"
        here, there = f"decoder.up.{level}", f"decoder.up_blocks.{levels - 1 - level}"
        for n in range(decoder_blocks):
            yield from _inside(f"{here}.block.{n}", f"{there}.resnets.{n}", _VAE_RESIDUAL)
        yield f"{here}.upsample.conv", f"{there}.upsamplers.0.conv"


def _rename(state_dict: Mapping[str, Tensor], pairs: Iterable[Pair], network: str) -> StateDict:
    """Rename every tensor by its module, the longest module name that fits."""
    modules = dict(pairs)
    renamed: StateDict = {}
    for name, tensor in state_dict.items():
        module = name
        while module and module not in modules:
            module = module.rpartition(".")[0]
        if not module:
            raise LayoutError(f"the {network} has a tensor of no known place: {name}")
        renamed[modules[module] + name.removeprefix(module)] = tensor
    return renamed


def _swapped(pairs: Iterable[Pair]) -> Iterator[Pair]:
    return ((b, a) for a, b in pairs)


def unet_to_diffusers(state_dict: Mapping[str, Tensor]) -> StateDict:
    """Rename an SD 1.x UNet's tensors to `diffusers.UNet2DConditionModel`'s.

    Raises:
        LayoutError: if a tensor has no place in such a network.
    """
    downsamples = [n for n in state_dict if n.startswith("input_blocks.") and ".0.op.weight" in n]
    levels = len(downsamples) + 1
    blocks = (count_modules(state_dict, "input_blocks") - levels) // levels
    attention = tuple(
        f"input_blocks.{level * (blocks + 1) + 1}.1.norm.weight" in state_dict
        for level in range(levels)
    )
    return _rename(state_dict, _unet_pairs(levels, blocks, attention), "UNet")


def unet_from_diffusers(state_dict: Mapping[str, Tensor]) -> StateDict:
    """Rename `diffusers.UNet2DConditionModel`'s tensors to SD 1.x; inverse of the above.

    Raises:
        LayoutError: if a tensor has no place in such a network.
    """
    levels = count_modules(state_dict, "down_blocks")
    blocks = count_modules(state_dict, "down_blocks.0.resnets")
    attention = tuple(
        f"down_blocks.{level}.attentions.0.norm.weight" in state_dict for level in range(levels)
    )
    return _rename(state_dict, _swapped(_unet_pairs(levels, blocks, attention)), "UNet")


def vae_to_diffusers(state_dict: Mapping[str, Tensor]) -> StateDict:
    """Rename an SD 1.x VAE's tensors to `diffusers.AutoencoderKL`'s.

    Raises:
        LayoutError: if a tensor has no place in such a network.
    """
    pairs = _vae_pairs(
        count_modules(state_dict, "encoder.down"),
        count_modules(state_dict, "encoder.down.0.block"),
        count_modules(state_dict, "decoder.up.0.block"),
    )
    renamed = _rename(state_dict, pairs, "VAE")
    return {
        name: tensor.flatten(1) if ".attentions." in name and tensor.ndim == 4 else tensor
        for name, tensor in renamed.items()
    }


def vae_from_diffusers(state_dict: Mapping[str, Tensor]) -> StateDict:
    """Rename `diffusers.AutoencoderKL`'s tensors to SD 1.x; inverse of the above.

    Raises:
        LayoutError: if a tensor has no place in such a network.
    """
    pairs = _vae_pairs(
        count_modules(state_dict, "encoder.down_blocks"),
        count_modules(state_dict, "encoder.down_blocks.0.resnets"),
        count_modules(state_dict, "decoder.up_blocks.0.resnets"),
    )
    renamed = _rename(state_dict, _swapped(pairs), "VAE")
    return {
        name: tensor[:, :, None, None] if ".attn_1." in name and tensor.ndim == 2 else tensor
        for name, tensor in renamed.items()
    }
