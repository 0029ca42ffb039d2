"""Configuration files: what is wrong is named, and the shipped ones are right."""

from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import pytest

from lcad_nodes import training
from lcad_nodes.training.config import (
    CompressionConfig,
    ConfigError,
    DiffusionConfig,
    load_config,
)

CONFIGS = Path(training.__file__).parent / "configs"  # pyright: ignore[reportArgumentType]


def _written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_each_of_lcad_minis_configurations_starts_where_the_one_before_it_ends() -> None:
    first = load_config(CompressionConfig, CONFIGS / "mini-compression.toml")
    words, scenes, large = (
        load_config(DiffusionConfig, CONFIGS / f"mini-{part}.toml")
        for part in ("words", "scenes", "diffusion")
    )
    decoder = load_config(CompressionConfig, CONFIGS / "mini-decoder.toml")
    masks = load_config(DiffusionConfig, CONFIGS / "mini-masks.toml")
    assert words.start == f"{first.fit.directory}/compression.safetensors"
    assert decoder.start == f"{large.fit.directory}/average.safetensors"
    assert masks.start == f"{decoder.fit.directory}/compression.safetensors"
    for before, after in ((words, scenes), (scenes, large)):
        assert after.start == f"{before.fit.directory}/diffusion.safetensors"
    assert words.unet.gray_channels == first.vae.widths[-1]
    assert words.unet.context == words.text.width


OPEN = {"start", "tokenizer", "train", "lpips_backbone", "data", "fit"}
"""What a full-size configuration must say: paths, and what is not for a start from nothing."""
OPEN_DATA = {"folder", "captions", "workers"}
OPEN_FIT = {"directory", "steps", "log", "save_every", "sample_every"}


@pytest.mark.parametrize(
    ("kind", "name"),
    [(CompressionConfig, "full-compression.toml"), (DiffusionConfig, "full-diffusion.toml")],
)
def test_the_published_settings_are_the_defaults(kind: type, name: str) -> None:
    config = load_config(kind, CONFIGS / name)
    for part, may_differ in ((config, OPEN), (config.data, OPEN_DATA), (config.fit, OPEN_FIT)):
        defaults = {f.name: _default(f) for f in fields(part)}
        changed = {key for key, value in defaults.items() if getattr(part, key) != value}
        assert changed <= may_differ
    assert config.train == "published"


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


DATA_AND_FIT = 'data = {stamps = "a"}\nfit = {directory = "b", steps = 1}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not toml", "cannot be read"),
        ("surprise = 1", "unknown surprise"),
        ("[data]\nstamps = 3\n", "data: stamps: expected str, not 3"),
        ("data = 3", "data: expected a table"),
        ("", "missing"),
        ("[data]\n", "data: give one of stamps, folder and shards"),
        ('[data]\nstamps = "a"\nfolder = "b"\n', "data: give one of"),
        ('[data]\nstamps = "a"\ncaptions = "b"\n', "captions belong to a folder"),
        ('[data]\nstamps = "a"\nphotos = "b"\n', "photos: expected a list of str"),
        ('[data]\nfolder = "a"\nsize = 60\n', "size: expected a multiple of 8, not 60"),
        ('[data]\nfolder = "a"\nflipped = 2\n', "flipped: expected from 0 to 1, not 2"),
        ('[data]\nfolder = "a"\ndropped = 0.9\n', "more than 1 together"),
        ('[fit]\ndirectory = "a"\nsteps = 1\nlog = "b"\n', "log: expected csv or tensorboard"),
        ('[fit]\ndirectory = "a"\nsteps = 1\nbatch = 0\n', "batch: expected from 1 on, not 0"),
        (DATA_AND_FIT + 'train = "published"\n', "needs a start"),
        (DATA_AND_FIT + "artifact_window = 4\n", "artifact_window: expected an odd number"),
        ('[data]\nstamps = "a"\n[fit]\ndirectory = "d"\n', "missing.*steps"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(CompressionConfig, _written(tmp_path, text))
