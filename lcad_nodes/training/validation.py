"""The error of stage 2 on pictures that were never trained on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from ..model.checkpoint import CheckpointParts, LayoutError
from .checkpoints import read_checkpoint
from .config import ConfigError, DiffusionConfig
from .data.batches import batches
from .diffusion import Diffusion, EncodedBatch, FrozenEncoders
from .loop import check_precision
from .networks import load_tokenizer


@dataclass(frozen=True)
class Validation:
    """What one checkpoint's error is.

    Attributes:
        checkpoint: its file.
        figures: means over all pictures: `error`, weighted as the configuration says and without
            the share of `localization`; `unweighted`; `localization`, where the configuration
            has it. Where it guides some pictures by masks, these are guided too.
    """

    checkpoint: Path
    figures: dict[str, float]


def validate(
    config: DiffusionConfig, checkpoints: Sequence[Path], pictures: int
) -> Iterator[Validation]:
    """Measure checkpoints on the same pictures, with the same words and noise for all.

    Of made-up scenes, these are the ones held out; a folder or shards are read as they are given.

    Args:
        config: says the pictures, how they are cropped, and how the error is weighted.
        checkpoints: complete ones, of stage 2.
        pictures: how many; rounded up to whole batches.

    Yields:
        One after the other, in their order.

    Raises:
        ConfigError: if there is nothing to measure, a path of the data is missing, or the device
            lacks the precision.
        TokenizerError: if the tokenizer is not there.
        LayoutError: if a checkpoint lacks one of its networks.
    """
    if pictures < 1 or not checkpoints:
        raise ConfigError("validate: give at least one checkpoint and one picture")
    config.data.require_paths()
    if config.data.stamps:
        config = replace(config, data=replace(config.data, split="held_out"))
    tokenizer = load_tokenizer(Path(config.tokenizer))
    count = -(-pictures // config.fit.batch)
    accelerator = Accelerator(mixed_precision=config.fit.mixed_precision)
    check_precision(config.fit.mixed_precision, accelerator.device)
    encoded: list[EncodedBatch] = []
    before = None
    for path in checkpoints:
        parts = _complete(path)
        if before is None or not _encode_alike(parts, before):
            encode = FrozenEncoders(parts, tokenizer, accelerator)
            encoded = _encode(config, encode, count)
        before = parts
        named = replace(config, start=str(path))
        yield Validation(path, _figures(named, parts, encoded, accelerator))


def _complete(path: Path) -> CheckpointParts:
    parts = read_checkpoint(path)
    if not (parts.unet and parts.vae and parts.encoder and parts.text):
        raise LayoutError(
            f"{path}: validation needs a complete checkpoint of stage 2, with autoencoder, "
            "luminance encoder, UNet and text encoder"
        )
    return parts


def _encode_alike(one: CheckpointParts, other: CheckpointParts) -> bool:
    """Whether two checkpoints give the same latents and luminance."""
    return all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
        for a, b in ((one.vae, other.vae), (one.encoder, other.encoder))
    )


def _encode(config: DiffusionConfig, encode: FrozenEncoders, count: int) -> list[EncodedBatch]:
    source = batches(config.data, config.fit.batch, encode.accelerator, 0)
    return [encode(batch) for batch in tqdm(islice(source, count), "encoding", count)]


@torch.no_grad()
def _figures(
    config: DiffusionConfig,
    parts: CheckpointParts,
    encoded: Sequence[EncodedBatch],
    accelerator: Accelerator,
) -> dict[str, float]:
    as_it_is = replace(config, wordnet="")  # no nouns placed
    stage = Diffusion(as_it_is, parts).to(accelerator.device)
    stage.eval()
    rows: list[dict[str, Tensor]] = []
    for batch in encoded:
        with accelerator.autocast():
            loss, figures = stage(batch, 0)
        of_attention = config.localization_weight * figures.get("localization", 0)
        rows.append({"error": loss - of_attention, **figures})
    return {name: torch.stack([row[name] for row in rows]).mean().item() for name in rows[0]}
