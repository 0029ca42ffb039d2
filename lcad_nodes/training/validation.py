"""The error of stage 2 on pictures that were never trained on."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch
from accelerate import Accelerator
from tqdm import tqdm

from ..model.checkpoint import CheckpointParts, LayoutError
from .checkpoints import read_checkpoint
from .config import ConfigError, DiffusionConfig
from .data.batches import batches
from .diffusion import Diffusion, EncodedBatch, FrozenEncoders
from .loop import Figures, check_precision
from .networks import load_tokenizer


def validate(
    config: DiffusionConfig, checkpoints: Sequence[Path], pictures: int
) -> Iterator[dict[str, float]]:
    """Measure checkpoints on the same pictures, with the same words and noise for all.

    Of made-up scenes, these are the ones held out; a folder or shards are read as they are given.

    Args:
        config: says the pictures, how they are cropped, and how the error is weighted.
        checkpoints: complete ones, of stage 2.
        pictures: how many; rounded up to whole batches.

    Yields:
        For each checkpoint, means over all pictures: `error`, weighted as the configuration says
        and without the share of `localization`; `unweighted`; `localization`, where the
        configuration has it. Where it guides some pictures by masks, these are guided too.

    Raises:
        ConfigError: if there is nothing to measure, a path of the data is missing, or the device
            lacks the precision.
        TokenizerError: if the tokenizer is not there.
        LayoutError: if a checkpoint lacks one of its networks.
    """
    if pictures < 1:
        raise ConfigError("validate: give at least one picture")
    config.data.require_paths()
    if config.data.stamps:
        config = replace(config, data=replace(config.data, split="held_out"))
    config = replace(config, wordnet="")  # nouns are where they are
    tokenizer = load_tokenizer(Path(config.tokenizer))
    count = -(-pictures // config.fit.batch)
    accelerator = Accelerator(mixed_precision=config.fit.mixed_precision)
    check_precision(config.fit.mixed_precision, accelerator.device)
    source = islice(batches(config.data, config.fit.batch, accelerator, 0), count)
    drawn = list(tqdm(source, "pictures", count))
    for path in checkpoints:
        parts = _complete(path)
        encode = FrozenEncoders(parts, tokenizer, accelerator)
        stage = Diffusion(replace(config, start=str(path)), parts).to(accelerator.device).eval()
        rows = [_figures(stage, encode(batch), accelerator) for batch in tqdm(drawn, path.name)]
        yield {name: torch.stack([row[name] for row in rows]).mean().item() for name in rows[0]}


def _complete(path: Path) -> CheckpointParts:
    parts = read_checkpoint(path)
    if not (parts.unet and parts.vae and parts.encoder and parts.text):
        raise LayoutError(
            f"{path}: validation needs a complete checkpoint of stage 2, with autoencoder, "
            "luminance encoder, UNet and text encoder"
        )
    return parts


@torch.no_grad()
def _figures(stage: Diffusion, batch: EncodedBatch, accelerator: Accelerator) -> Figures:
    with accelerator.autocast():
        loss, figures = stage(batch, 0)
    of_attention = stage.config.localization_weight * figures.get("localization", 0)
    return {"error": loss - of_attention, **figures}
