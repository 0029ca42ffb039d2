"""Configuration files: what is wrong is named, and the shipped ones are right."""

from pathlib import Path

import pytest

from lcad_nodes import training
from lcad_nodes.training.config import (
    CompressionConfig,
    ConfigError,
    DiffusionConfig,
    load_config,
)
from lcad_nodes.training.networks import UNetConfig

CONFIGS = Path(training.__file__).parent / "configs"  # pyright: ignore[reportArgumentType]


def _written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["mini-words.toml", "mini-diffusion.toml"])
def test_the_shipped_configurations_fit_together(name: str) -> None:
    first = load_config(CompressionConfig, CONFIGS / "mini-compression.toml")
    second = load_config(DiffusionConfig, CONFIGS / name)
    assert second.unet.gray_channels == first.vae.widths[-1]
    assert second.unet.context == second.text.width


def test_the_published_widths_are_the_default(tmp_path: Path) -> None:
    path = _written(
        tmp_path,
        'start = "a"\ntokenizer = "b"\n[data]\nstamps = "c"\n[fit]\ndirectory = "d"\nsteps = 1\n',
    )
    assert load_config(DiffusionConfig, path).unet == UNetConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not toml", "cannot be read"),
        ("surprise = 1", "unknown surprise"),
        ("[data]\nstamps = 3\n", "data: stamps: expected str, not 3"),
        ("data = 3", "data: expected a table"),
        ("", "missing"),
        ('[data]\nstamps = "a"\n[fit]\ndirectory = "d"\n', "missing.*steps"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(CompressionConfig, _written(tmp_path, text))
