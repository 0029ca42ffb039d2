"""Training configurations: TOML files read into frozen dataclasses."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import tomli

from .networks import TextConfig, UNetConfig, VAEConfig

T = TypeVar("T")


class ConfigError(ValueError):
    """A configuration file does not say what it should; the message names file and key."""


@dataclass(frozen=True)
class DataConfig:
    """Where pictures come from.

    Attributes:
        stamps: folder of cut-outs with alpha and captions (see `evaluation.scenes`).
        photos: photographs, or folders of them, for backgrounds.
        size: side of the square scenes in px; a multiple of 8.
        workers: processes that build scenes beside the trainer; 0: the trainer's own.
        seed: scenes and noise are functions of it.
        simple: share of scenes of one object, seven of eight described: what the words mean is
            learned sooner from these.
    """

    stamps: str
    photos: tuple[str, ...] = ()
    size: int = 256
    workers: int = 1
    seed: int = 0
    simple: float = 0.0


@dataclass(frozen=True)
class FitConfig:
    """How long and how to optimize.

    Attributes:
        directory: where checkpoints, state and logs go.
        steps: optimizer steps in all.
        minutes: stop (and save) after this time even if steps are left; 0: no limit.
        batch: pictures a step and process.
        learning_rate: AdamW's, reached after `warmup` steps.
        ema: decay of the running average of the weights, which is what is saved.
        mixed_precision: `no`, `bf16` or `fp16`.
        save_every: steps between checkpoints.
        log_every: steps between lines of the log.
    """

    directory: str
    steps: int
    minutes: float = 0
    batch: int = 16
    learning_rate: float = 2e-5
    warmup: int = 100
    ema: float = 0.999
    mixed_precision: str = "no"
    save_every: int = 500
    log_every: int = 20


@dataclass(frozen=True)
class CompressionConfig:
    """Stage 1, luminance-guided image compression (paper section 3.1).

    Attributes:
        vae: widths of the autoencoder.
        luminance_widths: channels of the luminance encoder's levels.
        artifact_weight: factor of the artifact-weighted reconstruction.
        plain_weight: factor of the plain L1 beside it; the artifact map is zero where a residual
            is constant, so an autoencoder that starts from nothing needs some.
        kl_weight: factor of the mean KL divergence of a latent element, in nats.
    """

    data: DataConfig
    fit: FitConfig
    vae: VAEConfig = field(default_factory=VAEConfig)
    luminance_widths: tuple[int, ...] = (128, 256, 512, 512)
    artifact_weight: float = 1.0
    plain_weight: float = 0.0
    kl_weight: float = 1e-6


@dataclass(frozen=True)
class DiffusionConfig:
    """Stage 2, the semantic-aligned latent representation (paper section 3.2).

    Attributes:
        start: checkpoint with the autoencoder and luminance encoder of stage 1; a UNet and text
            encoder in it are trained on, otherwise both start from nothing.
        tokenizer: folder with the CLIP tokenizer's vocab.json and merges.txt; every ComfyUI has
            one in comfy/sd1_tokenizer.
        unet: widths of a UNet that starts from nothing.
        text: widths of a text encoder that starts from nothing.
        pool: encoded scenes kept for reuse; 0: every scene is used once.
        fresh: new scenes a step, where there is a pool.
        largest_weight: a noise level's loss is multiplied by 1/SNR, clipped to 1 ... this; 1 is the
            published loss. Plain colors survive in all but the noisiest latents, so from nothing
            the text is learned where the unweighted loss hardly looks.
        noise_bias: timesteps are drawn with a density that grows with this power of t, less one;
            1 is the published uniform draw, 2 prefers noisy latents.
    """

    data: DataConfig
    fit: FitConfig
    start: str
    tokenizer: str
    unet: UNetConfig = field(default_factory=UNetConfig)
    text: TextConfig = field(default_factory=TextConfig)
    pool: int = 0
    fresh: int = 4
    largest_weight: float = 1.0
    noise_bias: float = 1.0


def load_config(kind: type[T], path: Path) -> T:
    """Read one stage's configuration.

    Args:
        kind: `CompressionConfig` or `DiffusionConfig`.
        path: a TOML file whose tables are named as the dataclass's fields.

    Raises:
        ConfigError: if the file is not TOML, or has an unknown or lacks a needed key.
    """
    try:
        table = tomli.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomli.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    return _build(kind, table, str(path))


def _build(kind: type[T], table: Mapping[str, Any], place: str) -> T:
    types = get_type_hints(kind)
    known = [f.name for f in fields(kind)]  # pyright: ignore[reportArgumentType]
    if unknown := sorted(set(table) - set(known)):
        raise ConfigError(f"{place}: unknown {', '.join(unknown)}; known are {', '.join(known)}")
    values = {key: _value(types[key], value, f"{place}: {key}") for key, value in table.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(f"{place}: {error}") from error


def _value(kind: Any, value: Any, place: str) -> Any:
    if is_dataclass(kind):
        if not isinstance(value, dict):
            raise ConfigError(f"{place}: expected a table, not {value!r}")
        return _build(kind, value, place)  # pyright: ignore[reportArgumentType]
    if isinstance(value, list):
        return tuple(value)
    if kind is float and type(value) is int:
        return float(value)
    if kind in (str, int, float, bool) and type(value) is not kind:
        raise ConfigError(f"{place}: expected {kind.__name__}, not {value!r}")
    return value
