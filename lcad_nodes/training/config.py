"""Training configurations: TOML files read into frozen dataclasses."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import tomli

from .networks import TextConfig, UNetConfig, VAEConfig, WidthError

T = TypeVar("T")


class ConfigError(ValueError):
    """A configuration file does not say what it should; the message names file and key."""


OF_SCENES = ("photos", "people", "split", "simple", "natural", "portraits", "unplaced")
"""Keys that only made-up scenes know."""
OF_PHOTOS = ("smallest_crop", "flipped", "dropped", "shortened")
"""Keys that only photos know; scenes bring their own levels of description."""
OF_MASKS = ("guided", "guidance", "localization_weight", "thing_weight", "skin_weight")
"""Keys that are of masks, which only made-up scenes bring."""
LEAST_JUDGED = 24
"""Px of a side from which on the discriminator has a patch to judge."""


@dataclass(frozen=True)
class DataConfig:
    """Where pictures come from: one of `stamps`, `folder` and `shards`.

    Attributes:
        stamps: folders of cut-outs with alpha and captions, for made-up scenes (see
            `scenes`), which bring every level of description themselves.
        photos: photographs, or folders of them, for the backgrounds of scenes.
        people: folders of rendered people in clothes (see `scenes.people`), for scenes of them.
        split: which of all these scenes are made of: those to `train` on, or the fifth that is
            `held_out`.
        simple: share of scenes of one object, seven of eight described: what the words mean is
            learned sooner from these.
        natural: share of scenes that are `photos` as they are, without a description.
        portraits: share of scenes that are one of `people` in natural colors, without a
            description.
        unplaced: share of scenes whose description never says where things are, beside those that
            do not by chance.
        folder: folder of photos to learn from, searched with its subfolders.
        captions: JSON file of what is said of the photos in `folder`; empty: nothing is.
        shards: webdataset tar files, with braces for many: `photos-{000..099}.tar`.
        size: side of the training pictures in px; a multiple of 8.
        smallest_crop: least share of the area of its largest square that a random crop of a photo
            keeps; crops are squares, so that nothing is distorted.
        flipped: share of photos mirrored, unless their description speaks of left or right.
        dropped: share of photos' descriptions left out.
        shortened: share of photos' descriptions that lose a part.
        workers: processes that prepare pictures beside each trainer; 0: the trainer's own.
        seed: pictures, networks from nothing and noise are functions of it.
    """

    stamps: tuple[str, ...] = ()
    photos: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    split: Literal["train", "held_out"] = "train"
    simple: float = 0.0
    natural: float = 0.0
    portraits: float = 0.0
    unplaced: float = 0.0
    folder: str = ""
    captions: str = ""
    shards: tuple[str, ...] = ()
    size: int = 256
    smallest_crop: float = 0.8
    flipped: float = 0.5
    dropped: float = 0.1
    shortened: float = 0.2
    workers: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what types cannot."""
        if sum(map(bool, (self.stamps, self.folder, self.shards))) != 1:
            raise ConfigError("give one of stamps, folder and shards")
        if self.natural and not self.photos:
            raise ConfigError("natural is a share of photos: name some")
        if self.portraits and not self.people:
            raise ConfigError("portraits are a share of people: name some")
        if self.captions and not self.folder:
            raise ConfigError("captions belong to a folder of photos")
        others, source = (OF_PHOTOS, "stamps") if self.stamps else (OF_SCENES, "folder or shards")
        _refuse(self, others, source)
        if self.size < 8 or self.size % 8:
            raise ConfigError(f"size: expected a multiple of 8, not {self.size}")
        sorts = ("simple", "natural", "portraits", "unplaced")
        _check(self, (*sorts, "smallest_crop", "flipped", "dropped", "shortened"), 0, 1)
        _check(self, ("workers", "seed"), 0)
        if self.dropped + self.shortened > 1:
            raise ConfigError("dropped and shortened are more than 1 together")
        if sum(getattr(self, sort) for sort in sorts) > 1:
            raise ConfigError("simple, natural, portraits and unplaced are more than 1 together")

    def require_paths(self) -> None:
        """Make sure that pictures and captions are there, before networks take minutes to build.

        Raises:
            ConfigError: if a path leads nowhere; shards may be addresses and are not looked for.
        """
        paths = (*self.stamps, *self.photos, *self.people, self.folder, self.captions)
        if missing := [path for path in paths if path and not Path(path).exists()]:
            raise ConfigError(f"data: there is no {' and no '.join(missing)}")


@dataclass(frozen=True)
class FitConfig:
    """How long and how to optimize.

    Attributes:
        directory: where checkpoints, state, logs and sheets of samples go.
        steps: optimizer steps in all.
        minutes: stop (and save) after this time even if steps are left; 0: no limit.
        batch: pictures a forward pass and process.
        accumulate: forward passes a step; a step sees `batch` times this, times the processes.
        learning_rate: AdamW's, reached after `warmup` steps.
        warmup: steps over which the learning rate grows from 0.
        schedule: of the learning rate after that; all but the constant one end at 0.
        ema: most decay of the running average of the weights, which is what is saved; it is
            1 - (1 + step)^-0.75 until that is more (0.999: for 10,000 steps).
        mixed_precision: `no`, `bf16` or `fp16`.
        save_every: steps between checkpoints.
        keep_every: steps between checkpoints that stay, to be averaged; 0: only the last one does.
        log_every: steps between entries of the log.
        log: `csv`: a table beside the checkpoint; `tensorboard`: its files in `directory`.
        sample_every: steps between sheets of sample pictures; 0: none.
    """

    directory: str
    steps: int
    minutes: float = 0
    batch: int = 16
    accumulate: int = 1
    learning_rate: float = 2e-5
    warmup: int = 100
    schedule: Literal["constant_with_warmup", "linear", "cosine"] = "constant_with_warmup"
    ema: float = 0.999
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    save_every: int = 500
    keep_every: int = 0
    log_every: int = 20
    log: Literal["csv", "tensorboard"] = "csv"
    sample_every: int = 1000

    def __post_init__(self) -> None:
        """Check what types cannot."""
        _check(self, ("batch", "accumulate", "save_every", "log_every"), 1)
        at_least_0 = ("steps", "minutes", "warmup", "keep_every", "sample_every", "learning_rate")
        _check(self, at_least_0, 0)
        _check(self, ("ema",), 0, 1)


@dataclass(frozen=True)
class CompressionConfig:
    """Stage 1, luminance-guided image compression (paper section 3.1).

    Attributes:
        start: checkpoint whose autoencoder gets the luminance encoder; empty: from nothing. Its
            UNet and text encoder go on into what is written, for stage 2.
        train: `published`: the luminance encoder alone; `all`: the autoencoder with it; `decoder`:
            the decoder and what luminance adds to it, for a UNet that keeps its latents.
        latent_noise: standard deviation, in scaled latents, of the most noise that is added to
            them: a decoder that knows some is steadier on what samplers leave. It is added to the
            posterior's own standard deviation. 0: as published.
        vae: widths of an autoencoder that starts from nothing. Those of the luminance encoder are
            always the autoencoder's.
        artifact_weight: factor of the artifact-weighted reconstruction.
        artifact_window: side of the artifact map's window in px, odd.
        artifact_power: the map is multiplied by this power of the residual's variance over the
            whole image; 0: by nothing.
        plain_weight: factor of the plain L1 beside it; the artifact map is zero where a residual
            is constant, so an autoencoder that starts from nothing needs some.
        perceptual_weight: factor of LPIPS.
        lpips_backbone: torchvision's VGG 16 weights as a file, for LPIPS; `none`: without LPIPS.
        adversarial_weight: factor of the adversarial loss beside its adaptive weight; 0: without.
        adversarial_start: step from which on there is an adversarial loss.
        kl_weight: factor of the mean KL divergence of a latent element, in nats; of no effect
            unless `train` is `all`: the encoder stays as it is then.
    """

    data: DataConfig
    fit: FitConfig
    start: str = ""
    train: Literal["all", "published", "decoder"] = "all"
    latent_noise: float = 0.0
    vae: VAEConfig = field(default_factory=VAEConfig)
    artifact_weight: float = 1.0
    artifact_window: int = 7
    artifact_power: float = 0.2
    plain_weight: float = 0.0
    perceptual_weight: float = 1.0
    lpips_backbone: str = "none"
    adversarial_weight: float = 0.5
    adversarial_start: int = 50_000
    kl_weight: float = 1e-6

    def __post_init__(self) -> None:
        """Check what types cannot."""
        if self.fit.keep_every and not self.start:
            raise ConfigError(
                "keep_every: latents are standardized at the end, so that checkpoints before it "
                "do not go together; keep some of a run with a start"
            )
        if self.train != "all" and not self.start:
            raise ConfigError(f"train = {self.train!r} needs a start: an autoencoder to freeze")
        weights = ("artifact_weight", "plain_weight", "perceptual_weight", "adversarial_weight")
        _check(self, ("latent_noise", *weights, "kl_weight", "artifact_power"), 0)
        if self.adversarial_weight and self.data.size < LEAST_JUDGED:
            raise ConfigError(
                f"adversarial_weight: the discriminator needs a size of at least {LEAST_JUDGED} px"
            )
        if self.artifact_window < 3 or self.artifact_window % 2 == 0:
            raise ConfigError(
                f"artifact_window: expected an odd number, not {self.artifact_window}"
            )


@dataclass(frozen=True)
class DiffusionConfig:
    """Stage 2, the semantic-aligned latent representation (paper section 3.2).

    Attributes:
        start: checkpoint with the autoencoder and luminance encoder of stage 1; a UNet and text
            encoder in it are trained on, otherwise both start from nothing.
        tokenizer: folder with the CLIP tokenizer's vocab.json and merges.txt; every ComfyUI has
            one in comfy/sd1_tokenizer.
        train: `published`: the first convolution's new channels and the output blocks alone;
            `all`: UNet and text encoder.
        unet: widths of a UNet that starts from nothing.
        text: widths of a text encoder that starts from nothing.
        wordnet: folder with WordNet's index.noun and data.noun, to place the embeddings of nouns
            with (see `nouns.place_nouns`); all token embeddings then stay as they are. Empty: they
            are trained with the text encoder.
        pool: encoded scenes kept for reuse; 0: every scene is used once.
        fresh: new scenes a forward pass and process, where there is a pool.
        largest_weight: a noise level's loss is multiplied by 1/SNR, clipped to 1 ... this; 1 is the
            published loss. Plain colors survive in all but the noisiest latents, so from nothing
            the text is learned where the unweighted loss hardly looks.
        noise_bias: timesteps are drawn with a density that grows with this power of t, less one;
            1 is the published uniform draw, 2 prefers noisy latents.
        noise_offset: standard deviation of noise that is added to whole areas (`noise.draws`). Even
            the noisiest latents of the schedule tell the mean color of a large area, while
            sampling starts from noise that tells a wrong one: without an offset, a wall gets that
            and not the color named. 0 is the published training; diffusers' examples advise 0.1.
        guided: share of pictures with known masks whose attention is guided by them while the
            UNet learns, as in instance-aware sampling. 0 is the published training; from nothing,
            words are put where the guidance wants them much sooner with it.
        guidance: strength of that, per element.
        localization_weight: factor of `guidance.localization_error`, of pictures with known masks:
            attention learns to be where guidance would want it. 0 is the published training; from
            nothing, which word is said of which thing is learned much sooner with it.
        thing_weight: factor of the error where something lies that the description names, of
            pictures with known masks. What is best to predict stays the same; a small batch tells
            more of it, since nobody can guess the rest. 1 is the published loss.
        skin_weight: the same of people's skin in made-up scenes, where the description does not
            speak of it. It is pale, so that little is lost by a wrong color in a mean of squares,
            and it is what people look at.
    """

    data: DataConfig
    fit: FitConfig
    start: str
    tokenizer: str
    train: Literal["all", "published"] = "all"
    unet: UNetConfig = field(default_factory=UNetConfig)
    text: TextConfig = field(default_factory=TextConfig)
    wordnet: str = ""
    pool: int = 0
    fresh: int = 4
    largest_weight: float = 1.0
    noise_bias: float = 1.0
    noise_offset: float = 0.0
    guided: float = 0.0
    guidance: float = 3.0
    localization_weight: float = 0.0
    thing_weight: float = 1.0
    skin_weight: float = 1.0

    def __post_init__(self) -> None:
        """Check what types cannot."""
        _check(self, ("guided",), 0, 1)
        weights = ("localization_weight", "thing_weight", "skin_weight")
        _check(self, (*weights, "guidance", "noise_offset", "pool"), 0)
        _check(self, ("fresh", "largest_weight"), 1)
        if not self.data.stamps:
            _refuse(self, OF_MASKS, "folder or shards, which bring no masks")
        if self.wordnet and self.train == "published":
            raise ConfigError("wordnet would change a text encoder that train = 'published' keeps")
        if self.skin_weight != 1 and not self.data.people:
            raise ConfigError("skin_weight is of people's skin, and data.people is not given")
        if not self.noise_bias > 0:
            raise ConfigError(f"noise_bias: expected more than 0, not {self.noise_bias}")


def _check(config: Any, names: Sequence[str], least: float, most: float = math.inf) -> None:
    for name in names:
        if not least <= getattr(config, name) <= most:
            span = f"from {least} on" if most == math.inf else f"from {least} to {most}"
            raise ConfigError(f"{name}: expected {span}, not {getattr(config, name)}")


def _refuse(config: Any, names: Sequence[str], source: str) -> None:
    """Refuse keys that a source of pictures would silently make nothing of."""
    for key in (f for f in fields(config) if f.name in names):
        if getattr(config, key.name) != key.default:
            raise ConfigError(f"{key.name} has no effect with {source}: leave it out")


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
    except (TypeError, ConfigError, WidthError) as error:
        raise ConfigError(f"{place}: {error}") from error


def _value(kind: Any, value: Any, place: str) -> Any:
    if is_dataclass(kind):
        if not isinstance(value, dict):
            raise ConfigError(f"{place}: expected a table, not {value!r}")
        return _build(kind, value, place)  # pyright: ignore[reportArgumentType]
    if get_origin(kind) is Literal and value not in get_args(kind):
        raise ConfigError(f"{place}: expected {' or '.join(get_args(kind))}, not {value!r}")
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            listed = get_args(kind)[0].__name__
            raise ConfigError(f"{place}: expected a list of {listed}, not {value!r}")
        return tuple(_value(get_args(kind)[0], one, place) for one in value)
    if kind is float and type(value) is int:
        return float(value)
    if kind in (str, int, float, bool) and type(value) is not kind:
        raise ConfigError(f"{place}: expected {kind.__name__}, not {value!r}")
    return value
