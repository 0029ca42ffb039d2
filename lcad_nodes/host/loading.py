"""Checkpoints into the host's own networks, every width and depth read off the tensors."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import comfy.model_detection
import comfy.model_management as management
import comfy.ops
import comfy.sd
import comfy.supported_models
import comfy.utils
import folder_paths
import torch
from comfy.latent_formats import SD15
from comfy.ldm.modules.diffusionmodules.model import vae_attention
from comfy.model_patcher import ModelPatcher
from safetensors import safe_open
from torch import Tensor

from ..model.checkpoint import (
    PREFIXES,
    LayoutError,
    StateDict,
    count_modules,
    split,
    unet_from_diffusers,
)
from ..model.luminance import LuminanceEncoder, is_luminance
from ..model.patch import FIRST_CONVOLUTION, LATENT_CHANNELS
from .compat import CoreModelPatcher, is_dynamic, maps_read_only, shapes
from .conditioning import sample_one_photo
from .files import SAFETENSORS, CheckpointError, check_family, read_tensors
from .luminance import TRAINED_AT, inference_dtype
from .origin import LAST_OUTPUT, Origin, origin_of, set_origin
from .preview import FittedLatent

HEADS = 8
"""Attention heads in every attention of an SD 1.x UNet; no tensor tells."""
TEXT_HEAD_WIDTH = 64
"""Width of one head of a CLIP text encoder; no tensor tells either."""
RESOLUTION_METADATA = "modelspec.resolution"
"""What Stability AI's ModelSpec calls the size a model was trained at: width x height, in px."""
TRAINABLE = range(8, 2049)
"""Sides, in px, that a file may say it was trained at: its word is the size that is worked at."""

logger = logging.getLogger(__name__)


class Checkpoint(NamedTuple):
    """What a luminance-conditioned checkpoint holds, each in the host's own wrapping.

    `clip` and `vae` are None where the file holds none.
    """

    model: ModelPatcher
    clip: comfy.sd.CLIP | None
    vae: comfy.sd.VAE | None
    encoder: ModelPatcher


class LuminanceSD15(comfy.supported_models.SD15):
    """SD 1.x at any width, with more than the latent's four input channels.

    `encoder` is the luminance encoder of a model's own checkpoint, where that was loaded.
    """

    encoder: ModelPatcher | None = None
    unet_config: dict[str, Any] = {}  # noqa: RUF012 (the host's own attribute): any width
    unet_extra_config = {"num_heads": HEADS, "num_head_channels": -1}  # noqa: RUF012

    def inpaint_model(self) -> bool:
        """Take the host's channels of a mask and a masked picture to be none of the extra ones."""
        return False

    def process_vae_state_dict_for_saving(self, state_dict: StateDict) -> StateDict:
        """Put the luminance encoder beside the VAE that a model is saved with, as published.

        The size that it was trained at goes with it as a tensor: the host writes the metadata.
        """
        saved = super().process_vae_state_dict_for_saving(state_dict)
        if self.encoder is None:
            return saved
        sides = self.encoder.get_attachment(TRAINED_AT)
        stated = {TRAINED_AT: torch.tensor(sides)} if sides else {}
        weights = self.encoder.model.state_dict()
        return saved | stated | {PREFIXES["encoder"] + name: weights[name] for name in weights}


def load_checkpoint(path: str) -> Checkpoint:
    """Load a checkpoint of the published layout, at any width.

    Args:
        path: a `.safetensors` file, or a Lightning `.ckpt` (read without running its code).

    Raises:
        CheckpointError: if the file is none, or holds no luminance-conditioned UNet, or no
            luminance encoder.
    """
    tensors = read_tensors(path)
    parts = split(tensors)
    name = Path(path).name
    check_family(tensors, name)
    if not parts.unet:
        raise CheckpointError(
            f"{name} holds no tensors below '{PREFIXES['unet']}': it is not a checkpoint with a "
            "UNet. LoRA, VAE and UNet-only files have loaders of their own."
        )
    _check_extended(parts.unet, name)
    if not parts.encoder:
        raise CheckpointError(
            f"{name} holds no luminance encoder (tensors below '{PREFIXES['encoder']}'). Move it "
            "to models/diffusion_models and load it with 'Load UNet (L-CAD)', and the encoder from "
            "the checkpoint it was trained with."
        )
    vae = _build_vae(parts.vae, name) if parts.vae else _lacking(name, "VAE")
    model = _build_model(parts.unet, name, latent_format=FittedLatent(vae) if vae else None)
    encoder = build_encoder(parts.encoder, name)
    encoder.set_attachments(TRAINED_AT, trained_at(path))
    model.model.model_config.encoder = encoder
    model.cached_patcher_init = (load_unet, (path, model.model.latent_format, encoder))
    origin = origin_of(encoder)
    set_origin(model, origin)
    if vae is not None:
        set_origin(vae.patcher, origin)
        vae.patcher.cached_patcher_init = (_load_vae, (path,))
    clip = _build_clip(parts.text, name) if parts.text else _lacking(name, "text encoder")
    if clip is not None:
        clip.patcher.cached_patcher_init = (_load_text_encoder, (path,))
    return Checkpoint(model=model, clip=clip, vae=vae, encoder=encoder)


def _load_text_encoder(path: str, disable_dynamic: bool = False) -> ModelPatcher:
    """Load a checkpoint's text encoder again, as the host asks for where it needs a second one."""
    options = {"disable_dynamic": True} if disable_dynamic else {}  # older hosts never ask for it
    return _build_clip(split(read_tensors(path)).text, Path(path).name, **options).patcher


def _load_vae(path: str, **_options: bool) -> ModelPatcher:
    """Load a checkpoint's VAE again, as the host asks for where it needs a second one."""
    return _build_vae(split(read_tensors(path)).vae, Path(path).name).patcher


def load_unet(
    path: str,
    latent_format: SD15 | None = None,
    encoder: ModelPatcher | None = None,
    disable_dynamic: bool = False,
) -> ModelPatcher:
    """Load a luminance-conditioned UNet alone; a checkpoint's again, as the host asks for.

    Args:
        path: a whole checkpoint, or a UNet by itself, in Stable Diffusion's names with or without
            their prefix, or in diffusers'.
        latent_format: what is known of its latents; none: they are as Stable Diffusion's.
        encoder: the luminance encoder of its checkpoint, where that was loaded.
        disable_dynamic: keep the UNet out of the host's dynamic memory; the host asks for this
            where it needs a second copy of the model.

    Raises:
        CheckpointError: if the file holds no such UNet.
    """
    state_dict = read_tensors(path)
    name = Path(path).name
    check_family(state_dict, name)
    parts = split(state_dict)
    unet = parts.unet or state_dict
    if "conv_in.weight" in unet:
        unet = _from_diffusers(unet, name)
    _check_extended(unet, name)
    if parts.encoder and LAST_OUTPUT not in parts.encoder:
        raise CheckpointError(f"the luminance encoder of {name} lacks {LAST_OUTPUT}")
    model = _build_model(unet, name, disable_dynamic=disable_dynamic, latent_format=latent_format)
    model.model.model_config.encoder = encoder
    model.cached_patcher_init = (load_unet, (path, latent_format, encoder))
    if parts.encoder:
        set_origin(model, Origin.of(parts.encoder, name))
    return model


def trained_at(path: str) -> tuple[int, int] | None:
    """Read off a file the sides, in px, that it was trained at, if it says so.

    Its metadata do, or a tensor where the host has saved it.

    Raises:
        CheckpointError: if they are not `TRAINABLE`.
    """
    if not path.lower().endswith(SAFETENSORS):
        return None
    with safe_open(path, framework="pt") as file:
        stated = (file.metadata() or {}).get(RESOLUTION_METADATA, "")
        if not stated and TRAINED_AT in file.keys():  # noqa: SIM118 (it is no mapping)
            stated = "x".join(map(str, file.get_tensor(TRAINED_AT).flatten().tolist()))
    found = re.fullmatch(r"(\d{1,9})x(\d{1,9})", stated)
    if found is None:
        return None
    sides = int(found[1]), int(found[2])
    if not all(side in TRAINABLE for side in sides):
        raise CheckpointError(
            f"{Path(path).name} says that it was trained at {stated} px: a side must be "
            f"{TRAINABLE[0]} to {TRAINABLE[-1]} px"
        )
    return sides


def _from_diffusers(unet: StateDict, name: str) -> StateDict:
    try:
        return unet_from_diffusers(unet)
    except LayoutError as error:
        raise CheckpointError(f"{name}: {error}") from error


def _check_extended(unet: Mapping[str, Tensor], name: str) -> None:
    weight = unet.get(FIRST_CONVOLUTION)
    if weight is None:
        raise CheckpointError(f"{name} is not a Stable Diffusion 1.x UNet: no 'input_blocks.0.0'")
    if not is_luminance(weight.shape[1] - LATENT_CHANNELS):
        raise CheckpointError(
            f"{name} is a Stable Diffusion UNet without luminance: its first convolution has "
            f"{weight.shape[1]} input channels, a luminance-conditioned one has 4 and a multiple "
            "of 32 (516 in the published model)."
        )


def _lacking(name: str, part: str) -> None:
    logger.warning(
        "%s holds no %s: connect one from the host's own loader to the nodes that need it",
        name,
        part,
    )


def _build_model(
    unet: StateDict,
    name: str,
    *,
    disable_dynamic: bool = False,
    latent_format: SD15 | None = None,
) -> ModelPatcher:
    """Put a UNet into the host's model class, in the type and on the device that the host picks."""
    config = LuminanceSD15(comfy.model_detection.detect_unet_config(unet, ""))
    if latent_format is not None:
        config.latent_format = latent_format  # pyright: ignore[reportAttributeAccessIssue]
    device = management.get_torch_device()
    parameters = comfy.utils.calculate_parameters(unet)
    types = config.supported_inference_dtypes
    dtype = management.unet_dtype(
        model_params=parameters,
        supported_dtypes=types,
        weight_dtype=comfy.utils.weight_dtype(unet),
    )
    config.set_inference_dtype(dtype, management.unet_manual_cast(dtype, device, types))
    initial_device = management.unet_inital_load_device(parameters, dtype)
    # On the CPU the file's mapped pages become the weights, instead of being copied into them.
    assign = initial_device.type == "cpu" and not management.force_channels_last()
    model = config.get_model(unet, device=torch.device("meta") if assign else initial_device)
    model.device = initial_device
    _check_fit(shapes(model.diffusion_model), unet, f"the UNet of {name}")
    patcher_class = ModelPatcher if disable_dynamic else CoreModelPatcher
    patcher = patcher_class(model, device, management.unet_offload_device())
    if assign and not is_dynamic(patcher):  # dynamic memory converts weights as it moves them
        copy = maps_read_only()  # LoRAs and hooks are written into weights
        unet = {key: weight.to(dtype, copy=copy) for key, weight in unet.items()}
    model.diffusion_model.load_state_dict(unet, assign=assign)
    sample_one_photo(patcher)
    return patcher


def _build_clip(text: StateDict, name: str, **options: bool) -> comfy.sd.CLIP:
    """Put a text encoder into the host's CLIP, with the host's own `options`."""
    sd15 = comfy.supported_models.SD15({})
    tensors = sd15.process_clip_state_dict({PREFIXES["text"] + k: v for k, v in text.items()})
    own = {k.removeprefix("clip_l.transformer."): v for k, v in tensors.items()}
    own.pop("text_model.embeddings.position_ids", None)
    clip = comfy.sd.CLIP(
        sd15.clip_target(),
        embedding_directory=folder_paths.get_folder_paths("embeddings"),
        tokenizer_data=tensors,
        parameters=comfy.utils.calculate_parameters(tensors),
        model_options={
            "clip_l_model_config": _text_config(own, name),
            # Weights come after this: nothing is to be moved to a GPU before.
            "initial_device": torch.device("cpu"),
        },
        **options,
    )
    expected = shapes(clip.cond_stage_model.clip_l.transformer)
    del expected["text_projection.weight"]  # SD 1.x has none; the host's network keeps a place
    _check_fit(expected, own, f"the text encoder of {name}")
    clip.load_sd(tensors, full_model=True)
    return clip


def _text_config(text: StateDict, name: str) -> dict[str, int]:
    """Read a CLIP text encoder's configuration off its tensors."""
    try:
        positions, width = text["text_model.embeddings.position_embedding.weight"].shape
        hidden = text["text_model.encoder.layers.0.mlp.fc1.weight"].shape[0]
    except KeyError as error:
        raise CheckpointError(
            f"the text encoder of {name} is not a CLIP text encoder as in Stable Diffusion 1.x: "
            f"it has no {error}"
        ) from error
    return {
        "hidden_size": width,
        "num_attention_heads": width // TEXT_HEAD_WIDTH,
        "num_hidden_layers": count_modules(text, "text_model.encoder.layers"),
        "intermediate_size": hidden,
        "max_position_embeddings": positions,
    }


def _build_vae(tensors: StateDict, name: str) -> comfy.sd.VAE:
    """Put an autoencoder into the host's VAE."""
    try:
        encoder = _autoencoder_half(tensors, "encoder.down", 0)
        decoder = _autoencoder_half(tensors, "decoder.up", 1)
        embedding = tensors["post_quant_conv.weight"].shape[1]
    except KeyError as error:
        raise CheckpointError(
            f"the VAE of {name} is not one as in Stable Diffusion 1.x: it has no {error}"
        ) from error
    config = {"ddconfig": encoder, "embed_dim": embedding}
    if decoder != encoder:  # older hosts know one configuration for both
        config["decoder_ddconfig"] = decoder
    dtype = inference_dtype(min(encoder["ch"], decoder["ch"]), management.vae_device())
    try:
        vae = comfy.sd.VAE(tensors, config={"params": config}, dtype=dtype)
    except RuntimeError as error:
        raise CheckpointError(f"the VAE of {name} does not fit its own widths: {error}") from error
    _check_fit(shapes(vae.patcher.model), tensors, f"the VAE of {name}")
    return vae


def _autoencoder_half(tensors: StateDict, levels: str, more_blocks: int) -> dict[str, Any]:
    """Read one half's configuration off the tensors; a decoder has one block more a level."""
    widths = [
        tensors[f"{levels}.{level}.block.0.conv1.weight"].shape[0]
        for level in range(max(count_modules(tensors, levels), 1))
    ]
    return {
        "double_z": True,
        "z_channels": tensors["decoder.conv_in.weight"].shape[1],
        "resolution": 256,
        "in_channels": 3,
        "out_ch": 3,
        "ch": widths[0],
        "ch_mult": [width // widths[0] for width in widths],
        "num_res_blocks": count_modules(tensors, f"{levels}.0.block") - more_blocks,
        "attn_resolutions": [],
        "dropout": 0.0,
    }


def build_encoder(tensors: StateDict, name: str) -> ModelPatcher:
    """Put the luminance encoder into a patcher, so that the host moves it like any other.

    Raises:
        CheckpointError: if the tensors are not those of a luminance encoder.
    """
    try:
        # Cast as they run: on a GPU the host asks for smaller types than the weights may have.
        encoder = LuminanceEncoder.from_state_dict(tensors, comfy.ops.manual_cast, vae_attention())
    except LayoutError as error:
        raise CheckpointError(f"{name}: {error}") from error
    encoder = encoder.eval().requires_grad_(False)
    devices = management.vae_device(), management.vae_offload_device()
    patcher = CoreModelPatcher(encoder, *devices)
    set_origin(patcher, Origin.of(tensors, name))
    return patcher


def _check_fit(expected: Mapping[str, torch.Size], found: Mapping[str, Tensor], what: str) -> None:
    """Compare names and shapes; the host itself only warns of what is missing."""
    missing = sorted(expected.keys() - found.keys())
    unknown = sorted(found.keys() - expected.keys())
    misshapen = [
        f"{key} is {tuple(found[key].shape)} instead of {tuple(expected[key])}"
        for key in expected.keys() & found.keys()
        if expected[key] != found[key].shape
    ]
    for problem, names in (("lacks", missing), ("has unknown", unknown), ("has", misshapen)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise CheckpointError(f"{what} {problem} {', '.join(names[:3])}{more}")
